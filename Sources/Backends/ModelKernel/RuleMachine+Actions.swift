internal import NFTables
internal import NetworkTypes

extension RuleMachine {
    /// What a rule does to a packet and its connection.
    func act(_ expression: KernelExpression, _ frame: inout Frame) -> Effect {
        switch expression {
        case .verdict(.continue, _): return .proceed
        case .verdict(let verdict, let chain): return .verdict(verdict, chain)
        case .reject(let type, let code): return .end(rejection(type, code, frame))
        case .translate(let translation): return translate(translation, &frame)
        case .masquerade: return masquerade(&frame)
        case .redirect:
            return undecided(&frame, "redirects to an address of the interface")
        case .noTrack:
            // net/netfilter/nft_ct.c: nft_notrack_eval leaves an entry that is there alone.
            if frame.traveller.tracking == nil { frame.traveller.isUntracked = true }
            return .proceed
        case .setMeta(let key, let register): return setMeta(key, register, &frame)
        case .setConnection(let key, _, let register):
            return setConnection(key, register, &frame)
        case .unknownAction(let text):
            var nothing = frame
            nothing.traveller = frame.traveller.doubting(reference, text, holds: false)
            let effect = undecided(&frame, text)
            return .fork([(nothing, .proceed), (frame, effect)])
        default: preconditionFailure("\(expression) is no action")
        }
    }

    /// A reset for what is not TCP is none (`net/ipv4/netfilter/nf_reject_ipv4.c: nf_send_reset`).
    private func rejection(
        _ type: KernelExpression.RejectType,
        _ code: UInt8,
        _ frame: Frame
    ) -> Outcome {
        switch type {
        case .tcpReset:
            frame.traveller.packet.transport == TransportProtocol.tcp.rawValue
                ? .rejected(.reset) : .dropped
        case .icmpUnreachable, .icmpxUnreachable: .rejected(.icmp(code: code))
        }
    }

    private func word(_ register: UInt32, _ frame: Frame) -> UInt32? {
        guard frame.registers.reason(register, 4) == nil else { return nil }
        return frame.registers.read(register, 4).reversed().reduce(UInt32(0)) {
            $0 << 8 | UInt32($1)
        }
    }

    private func setMeta(
        _ key: KernelExpression.MetaKey,
        _ register: UInt32,
        _ frame: inout Frame
    ) -> Effect {
        switch key {
        case .mark:
            return forEachValue([(register, 4)], &frame) { frame in
                frame.traveller.packet.mark = word(register, frame)
                return .proceed
            }
        // They change no packet's way.
        case .priority, .trace: return .proceed
        default: return undecided(&frame, "sets meta key \(key.rawValue)")
        }
    }

    private func setConnection(
        _ key: KernelExpression.ConnectionKey,
        _ register: UInt32,
        _ frame: inout Frame
    ) -> Effect {
        switch key {
        case .mark:
            return forEachValue([(register, 4)], &frame) { frame in
                let mark = word(register, frame)
                frame.traveller.connection?.mark = mark
                return .proceed
            }
        // They change no packet's way.
        case .labels, .eventMask: return .proceed
        default: return undecided(&frame, "sets ct key \(key.rawValue)")
        }
    }

    // MARK: Translation

    /// Decides about the connection (`net/netfilter/nf_nat_core.c: nf_nat_setup_info`).
    private func translate(
        _ translation: KernelExpression.Translation,
        _ frame: inout Frame
    ) -> Effect {
        let family = frame.traveller.packet.family
        // net/netfilter/nft_nat.c: nft_nat_inet_eval
        guard translation.family == UInt32(family.netfilterFamily) else { return .proceed }
        var spans: [(register: UInt32, length: Int)] = []
        for register in [translation.addressMin, translation.addressMax] {
            if let register { spans.append((register, family.byteCount)) }
        }
        for register in [translation.ports.min, translation.ports.max] {
            if let register { spans.append((register, 2)) }
        }
        for span in spans {
            guard Registers.holds(span.register, span.length) else {
                return undecided(&frame, "register \(span.register) is too short")
            }
            if let reason = frame.registers.reason(span.register, span.length) {
                return undecided(&frame, reason)
            }
        }
        return forEachValue(spans, &frame) { decide(translation, &$0) }
    }

    private func decide(
        _ translation: KernelExpression.Translation,
        _ frame: inout Frame
    ) -> Effect {
        guard var connection = frame.traveller.connection else {
            return undecided(&frame, "translates what is not tracked")
        }
        let length = frame.traveller.packet.family.byteCount
        let registers = frame.registers
        let address = translation.addressMin.map { registers.read($0, length) }
        let port = translation.ports.min.map { registers.read($0, 2) }
        guard address == translation.addressMax.map({ registers.read($0, length) }),
            port == translation.ports.max.map({ registers.read($0, 2) })
        else { return undecided(&frame, "translates to a range of addresses or ports") }
        let chosen = address.flatMap { IPAddress(networkOrder: $0) }
        switch translation.kind {
        case .destination:
            var target = connection.reply
            if let chosen { target.source = chosen }
            if let port { target.sourcePort = port.reduce(0) { $0 << 8 | UInt16($1) } }
            connection.sendTo(target.source, target.sourcePort)
            frame.traveller.connection = connection
        case .source: hideSource(behind: chosen ?? connection.reply.destination, &frame)
        }
        return .verdict(.accept, nil)
    }

    private func masquerade(_ frame: inout Frame) -> Effect {
        guard frame.traveller.connection != nil else {
            return undecided(&frame, "masquerades what is not tracked")
        }
        let address = evaluator.routing.masqueradeAddress(frame.traveller.packet)
        frame.traveller.packet.isSourceUnknown = address == nil
        hideSource(behind: address ?? frame.traveller.packet.source, &frame)
        return .verdict(.accept, nil)
    }

    /// The port is the kernel's choice, if only because the packet's own is taken.
    private func hideSource(behind address: IPAddress, _ frame: inout Frame) {
        frame.traveller.packet.isSourcePortUnknown = true
        guard var connection = frame.traveller.connection else { return }
        connection.reply.destination = address
        connection.isMasqueraded = true
        connection.status |=
            Connection.Status.sourceTranslated | Connection.Status.sourceDecided
        frame.traveller.connection = connection
    }

    // MARK: Sets

    /// Enters an element (`net/netfilter/nft_dynset.c: nft_dynset_eval`).
    ///
    /// One that is there keeps its data: only its time begins anew (`net/netfilter/nft_set_hash.c:
    /// nft_rhash_update`). What is not known is not entered.
    func update(
        _ update: KernelExpression.SetUpdate,
        _ frame: inout Frame
    ) -> Effect {
        guard let set = evaluator.ruleset.tables[place.table]?.sets[update.set] else {
            return undecided(&frame, "nothing is known of set \(update.set)")
        }
        var spans = [(register: update.key, length: Int(set.shape.keyLength))]
        if let data = update.data { spans.append((data, Int(set.shape.dataLength))) }
        let isKnown = spans.allSatisfy {
            Registers.holds($0.register, $0.length)
                && frame.registers.reason($0.register, $0.length) == nil
        }
        let effect = update.isNegated ? Effect.stop : .proceed
        guard isKnown, update.operation != .delete else { return effect }
        return forEachValue(spans, &frame) { frame in
            let values = spans.map { frame.registers.read($0.register, $0.length) }
            let known = find(values[0], update.set, frame.traveller.writes)
            guard known == .missing else { return effect }
            frame.traveller.writes.append(
                SetWrite(
                    table: place.table,
                    set: update.set,
                    key: values[0],
                    value: values.count > 1 ? .data(values[1]) : .none,
                    timeout: update.timeout
                )
            )
            return effect
        }
    }
}

extension Connection {
    /// What stays where it was sent is decided, and not translated.
    fileprivate mutating func sendTo(_ address: IPAddress, _ port: UInt16) {
        if reply.source != address || reply.sourcePort != port {
            status |= Status.destinationTranslated
        }
        (reply.source, reply.sourcePort) = (address, port)
        status |= Status.destinationDecided
    }
}
