package import Backend
internal import Glibc
package import ModelKernel
internal import NFTables
internal import NetworkTypes
internal import Netlink

/// Compares what the kernel does to one real packet with what an evaluation says.
package struct PacketVerification {
    private let wanted: FirstPacket
    private let origin: PacketOrigin
    private let servers: VirtualServers?
    private let believing: (Ruleset) -> Ruleset

    /// - Parameters:
    ///   - servers: the virtual servers that balance what the rules let through; nil without IPVS
    ///   - believing: makes, of the rules that the kernel has, those that are evaluated
    package init(
        _ packet: FirstPacket,
        _ origin: PacketOrigin,
        servers: VirtualServers? = nil,
        believing: @escaping (Ruleset) -> Ruleset = { $0 }
    ) {
        (wanted, self.origin, self.servers) = (packet, origin, servers)
        self.believing = believing
    }

    /// Sends the packet, or waits for it.
    package func perform() -> Verification {
        do throws(NetlinkError) {
            return try compare(observeOneOf(3))
        } catch {
            let isRefused = error.isPermissionDenied || error.isUnsupported
            let reason = isRefused ? "packets cannot be traced here: \(error)" : "\(error)"
            return Verification(
                client: nil,
                frontend: wanted.frontend,
                .cannotTell(reason)
            )
        }
    }

    // MARK: Watching

    /// What was seen, and what was known before.
    private struct Observation {
        let reading: KernelReading
        let packet: TracedPacket
        /// The port that it was sent from; 0: any.
        let port: UInt16
        let table: Ruleset.TableID
        /// The error of the call that should have sent the packet; 0 if there was none.
        let code: Int32
        /// Whether the rules were the same all the time.
        let isSteady: Bool
    }

    /// Sends another packet if the reports about one were lost among those about others' packets.
    private func observeOneOf(_ count: Int) throws(NetlinkError) -> Observation {
        do throws(NetlinkError) {
            return try observe()
        } catch  where error.isTooLarge && origin == .sent && count > 1 {
            return try observeOneOf(count - 1)
        }
    }

    /// Takes a port from which conntrack knows no connection, so that the packet opens one.
    private func newPacket() throws(NetlinkError) -> OwnPacket {
        var tracking = try ConnectionTracking()
        // While they are there, each has another port.
        var packets = [try OwnPacket(wanted)]
        while wanted.sourcePort == 0, packets.count < 100,
            try tracking.connection(
                from: AddressAndPort(wanted.source, packets[packets.count - 1].port),
                to: wanted.frontend
            ) != nil
        {
            packets.append(try OwnPacket(wanted))
        }
        return packets[packets.count - 1]
    }

    private func observe() throws(NetlinkError) -> Observation {
        let own = origin == .sent ? try newPacket() : nil
        let trace = try PacketTrace()
        // What is awaited may come as soon as it is traced.
        if own == nil { try trace.start() }
        let port = own?.port ?? wanted.sourcePort
        var table = try TraceTable(
            TraceTable.Flow(
                source: wanted.source,
                sourcePort: port == 0 ? nil : port,
                frontend: wanted.frontend
            )
        )
        var socket = try NetlinkSocket(.netfilter)
        let reading = try KernelReading(
            [wanted.frontend.address.family],
            servers,
            believing: believing,
            &socket
        )
        // The packet itself may enter elements: those that it finds are read before.
        var expected = Packet(wanted)
        expected.sourcePort = port
        for evaluator in reading.evaluators { _ = evaluator.possibilities(of: expected) }
        if own != nil { try trace.start() }
        let code = own?.send() ?? 0
        let packet = try watch(trace, table.id, isSent: code == 0)
        let isSteady = try reading.isSteady(&socket)
        try table.remove()
        // What closes it sends a reset, which nobody needs to see.
        withExtendedLifetime(own) {}
        return Observation(
            reading: reading,
            packet: packet,
            port: port,
            table: table.id,
            code: code,
            isSteady: isSteady
        )
    }

    /// How long to wait for a packet that was sent, and for more about one that was seen: the kernel
    /// reports all of it while it is under way, and a sender repeats after a second.
    private static let patience = Duration.milliseconds(600)

    private func watch(
        _ trace: borrowing PacketTrace,
        _ table: Ruleset.TableID,
        isSent: Bool
    ) throws(NetlinkError) -> TracedPacket {
        var packet = TracedPacket(by: table)
        let clock = ContinuousClock()
        var time = Self.patience
        if case .awaited(let duration) = origin { time = duration }
        var deadline = clock.now + time
        while !packet.isComplete, clock.now < deadline {
            let count = packet.events.count
            let rest = (deadline - clock.now) / .milliseconds(1)
            do throws(NetlinkError) {
                _ = try trace.receive(milliseconds: Int32(clamping: Int(rest.rounded(.up)))) {
                    packet.take($0)
                }
            } catch  where error.isTooLarge && count == 0 && origin != .sent {
                // What was lost may have been about others; if not, there will be another packet.
                continue
            }
            if packet.events.count > count { deadline = clock.now + Self.patience }
        }
        return packet
    }

    // MARK: Comparing

    private func compare(_ seen: Observation) throws(NetlinkError) -> Verification {
        let packet = realPacket(seen)
        let way = TracedWay(seen.packet.events, by: seen.table, seen.reading.evaluators[0].ruleset)
        if seen.packet.events.isEmpty, let reason = absence(seen.code) {
            return Verification(
                client: nil,
                frontend: wanted.frontend,
                .cannotTell(reason)
            )
        }
        let entry = try entry(packet)
        return Verification(
            client: AddressAndPort(packet.source, packet.sourcePort),
            frontend: wanted.frontend,
            steps: way.steps,
            fate: fate(seen, way),
            connection: entry?.text,
            judge(seen, way, packet, entry)
        )
    }

    /// The packet as its sender has sent it.
    private func realPacket(_ seen: Observation) -> Packet {
        var packet = Packet(wanted)
        packet.sourcePort = seen.port
        guard let headers = seen.packet.events.first?.packet else { return packet }
        packet.sourcePort = headers.source.port
        if let index = headers.inputInterface { packet.inputInterface = Interfaces.name(of: index) }
        return packet
    }

    /// Why there is no packet; nil if the kernel had no route for it, which is an answer, too.
    private func absence(_ code: Int32) -> String? {
        switch (origin, code) {
        case (.awaited(let time), _):
            "no packet of \(wanted.source) to \(wanted.frontend) came within \(time.components.seconds) s"
        case (.sent, ENETUNREACH), (.sent, EHOSTUNREACH): nil
        case (.sent, 0):
            "the packet did not come to the rules; a program at the socket may have sent it elsewhere"
        case (.sent, let code):
            "the packet could not be sent: \(String(cString: strerror(code)))"
        }
    }

    private func fate(_ seen: Observation, _ way: TracedWay) -> Verification.Fate? {
        guard let headers = seen.packet.headers else { return .lost }
        switch seen.packet.end {
        case .arrived:
            return .delivered(to: headers.destination, seenFrom: headers.source, interface: nil)
        case .left:
            let interface = headers.outputInterface.flatMap(Interfaces.name)
            return .delivered(
                to: headers.destination,
                seenFrom: headers.source,
                interface: interface
            )
        case .stopped:
            let refuses = seen.reading.evaluators[0].ruleset.refuses(way.sightings.last)
            return refuses ? .refused : .dropped
        case .queued: return .queued
        case nil: return .lost
        }
    }

    private func judge(
        _ seen: Observation,
        _ way: TracedWay,
        _ packet: Packet,
        _ entry: TrackedConnection?
    ) -> Verification.Judgement {
        let end: Witness.End =
            switch seen.packet.end {
            case .arrived, .left: .passed
            case .stopped: .stopped
            case .queued, nil: .lost
            }
        let witness = Witness(way.sightings, end, tracing: seen.table)
        var best: (parting: Parting, ruleset: Ruleset)?
        for evaluator in seen.reading.evaluators {
            for tracking in [.new] + trackings(entry) {
                guard let parting = evaluator.parting(from: witness, packet, tracking) else {
                    return .agrees
                }
                if parting.length > best?.parting.length ?? -1 {
                    best = (parting, evaluator.ruleset)
                }
            }
        }
        guard let (parting, ruleset) = best else { return .cannotTell("nothing was evaluated") }
        let count = way.stepCount(before: parting.length)
        if let doubt = parting.doubts.first {
            let rule = doubt.rule.map { ruleset.text($0) + ": " } ?? ""
            return .cannotTell("behind step \(count) nobody can evaluate: \(rule)\(doubt.reason)")
        }
        guard seen.isSteady else {
            return .cannotTell("the rules were changed while the packet was under way")
        }
        if seen.packet.end == nil, !seen.reading.doubts.isEmpty {
            let doubts = seen.reading.doubts.joined(separator: "; ")
            return .cannotTell("behind step \(count) it was seen no more: \(doubts)")
        }
        return .parts(
            after: count,
            expected: parting.expectations.map { ruleset.text($0, seen.table) }
        )
    }

    // MARK: Connection tracking

    private func entry(_ packet: Packet) throws(NetlinkError) -> TrackedConnection? {
        var tracking = try ConnectionTracking()
        return try tracking.connection(
            from: AddressAndPort(packet.source, packet.sourcePort),
            to: wanted.frontend
        )
    }

    /// What conntrack may have known before a datagram: it may belong to a connection that there was.
    private func trackings(_ entry: TrackedConnection?) -> [Tracking] {
        guard wanted.frontend.transport != .tcp, let entry, case .awaited = origin else {
            return []
        }
        return [.established, .new].map { .connection(Connection(entry, $0)) }
    }
}

extension Connection {
    fileprivate init(_ entry: TrackedConnection, _ state: State) {
        var status = Status.sourceDecided | Status.destinationDecided
        if entry.isTranslated { status |= Status.destinationTranslated }
        if entry.isMasqueraded { status |= Status.sourceTranslated }
        self.init(
            state,
            original: ConnectionTuple(
                source: entry.clientAddress,
                sourcePort: entry.clientPort,
                destination: entry.frontend.address,
                destinationPort: entry.frontend.port
            ),
            reply: ConnectionTuple(
                source: entry.endpointAddress,
                sourcePort: entry.endpointPort,
                destination: entry.seenAsAddress,
                destinationPort: entry.seenAsPort
            ),
            status: status
        )
        isMasqueraded = entry.isMasqueraded
        mark = nil
    }
}

extension TrackedConnection {
    fileprivate var text: String {
        let endpoint = AddressAndPort(endpointAddress, endpointPort)
        return "with \(endpoint), from \(AddressAndPort(seenAsAddress, seenAsPort))"
    }
}

extension Ruleset {
    /// Whether a rule refuses what it stops.
    fileprivate func refuses(_ sighting: Witness.Sighting?) -> Bool {
        guard case .matched(let reference)? = sighting else { return false }
        return self[reference]?.expressions.contains {
            if case .reject = $0 { true } else { false }
        } ?? false
    }

    /// - Parameter tracing: the table whose last chains stand for the ends of hooks
    fileprivate func text(_ expectation: Expectation, _ tracing: TableID) -> String {
        switch expectation {
        case .call(tracing, let chain):
            let hook = tables[tracing]?.chains[chain]?.base.map { " at hook \($0.hook)" } ?? ""
            return "it passes all rules\(hook)"
        case .call(let table, let chain):
            return "it comes to table \(table.family) \(table.name), chain \(chain)"
        case .packet(let tuple, let interface):
            let source = AddressAndPort(tuple.source, tuple.sourcePort)
            let destination = AddressAndPort(tuple.destination, tuple.destinationPort)
            return "it comes there as \(source) to \(destination)"
                + (interface.map { " for \($0)" } ?? "")
        case .match(let rule): return "it matches \(text(rule))"
        case .end(let outcome): return text(outcome)
        }
    }

    private func text(_ outcome: Outcome) -> String {
        switch outcome {
        case .delivered(let address, let port, _, _):
            "it is delivered to \(AddressAndPort(address, port))"
        case .rejected: "it is refused"
        case .dropped: "it is dropped"
        case .unroutable: "the node has no route for it"
        case .undecided: "nobody can tell"
        }
    }
}
