internal import CMnl
internal import CNftnl
package import Backend
internal import Glibc
internal import NFTables
package import NetworkTypes
package import Netlink

/// Where packets go that are looked for.
package struct StoppedPlaces: Sendable, Hashable {
    package var frontends: Set<FrontendKey>
    /// Addresses and blocks with all their ports.
    package var addresses: Set<IPAddress>
    package var blocks: [IPPrefix]

    package init(
        frontends: Set<FrontendKey> = [],
        addresses: Set<IPAddress> = [],
        blocks: [IPPrefix] = []
    ) {
        (self.frontends, self.addresses, self.blocks) = (frontends, addresses, blocks)
    }

    package func part(_ family: IPFamily) -> StoppedPlaces {
        StoppedPlaces(
            frontends: frontends.filter { $0.address.family == family },
            addresses: addresses.filter { $0.family == family },
            blocks: blocks.filter { $0.family == family }
        )
    }

    package var isEmpty: Bool { frontends.isEmpty && addresses.isEmpty && blocks.isEmpty }
}

/// A packet that no rule of this node let through to its end.
package struct StoppedPacket: Sendable, Hashable {
    package let packet: FirstPacket
    /// How long ago it came.
    package let age: Duration
}

/// Finds the packets that open connections and are stopped on their way: by whose rule or which
/// virtual server ever, or by the node itself.
///
/// A table of its own enters each of them into a map when it comes, before all other rules, and takes
/// it out behind the last ones. What stays there was stopped. Of datagrams every one is such a packet.
package final class StoppedPackets {
    private var table: LookingTable
    package let family: IPFamily
    private var places: StoppedPlaces
    /// What has been told already, with the moment at which the kernel forgets it.
    private var told: [FirstPacket: ContinuousClock.Instant] = [:]
    private var missed: UInt64 = 0

    /// A packet that has not come to its end after so long was stopped: what waits for an answer of
    /// ARP or for a program (NFQUEUE) takes less.
    private static let patience = Duration.milliseconds(300)
    /// How long an address and port that tries again is not told again.
    static let memory = Duration.seconds(30)
    /// For packets on their way, those that were stopped in `memory`, and those that the kernel has yet
    /// to clear away, which it does once a second.
    static let capacity: UInt32 = 1 << 18

    /// - Parameters:
    ///   - places: of this family
    ///   - client: only packets of this block
    package init(
        _ family: IPFamily,
        to places: StoppedPlaces,
        from client: IPPrefix?
    ) throws(NetlinkError) {
        (self.family, self.places) = (family, places)
        let rules = StoppedPacketRules(family)
        table = try LookingTable(for: "watch", family) { table, batch in
            rules.write(places.blocks, client, to: table, &batch)
            Self.write(StoppedPlaces(), places, to: table, &batch)
        }
    }

    /// Looks for packets to other places from now on; the blocks stay what they were.
    package func change(to places: StoppedPlaces) throws(NetlinkError) {
        let old = self.places
        guard places != old else { return }
        try table.change { Self.write(old, places, to: $0, &$1) }
        self.places = places
    }

    private static func write(
        _ old: StoppedPlaces,
        _ new: StoppedPlaces,
        to table: LookingTableWriter,
        _ batch: inout NetlinkBatch
    ) {
        let keys = { (keys: Set<FrontendKey>) in keys.map { ElementBytes($0) } }
        let addresses = { (addresses: Set<IPAddress>) in
            addresses.map { address in
                var bytes = ElementBytes()
                bytes.append(address)
                return bytes
            }
        }
        for (isDeletion, from, minus) in [(true, old, new), (false, new, old)] {
            table.elements(
                keys(from.frontends.subtracting(minus.frontends)),
                of: .frontends,
                isDeletion: isDeletion,
                &batch
            )
            table.elements(
                addresses(from.addresses.subtracting(minus.addresses)),
                of: .clusterIPs,
                isDeletion: isDeletion,
                &batch
            )
        }
    }

    /// Returns what was stopped and was not told before, the oldest first, and how many packets were
    /// not looked at since the last call, because there were too many.
    package func read() throws(NetlinkError) -> (packets: [StoppedPacket], missed: UInt64) {
        var found: [StoppedPacket] = []
        let now = ContinuousClock.now
        var present: [FirstPacket: ContinuousClock.Instant] = [:]
        for transport in TransportProtocol.allCases {
            var elements: [(packet: FirstPacket, rest: Duration)] = []
            try table.readElements(
                of: StoppedPacketRules.set(transport),
                restart: { elements = [] },
                { elements += Self.elements($0, family, transport) }
            )
            for (packet, rest) in elements {
                let age = Self.memory - rest
                let end = now + rest
                // One that was entered anew lasts longer than what was told.
                let isTold = told[packet].map { end - $0 < .seconds(1) } ?? false
                if isTold {
                    present[packet] = told[packet]
                } else if age >= Self.patience {
                    present[packet] = end
                    found.append(StoppedPacket(packet: packet, age: age))
                }
            }
        }
        told = present
        let count = try missedCount()
        defer { missed = count }
        // `nft reset rules` sets counters back, whoever owns the table.
        return (found.sorted { $0.age > $1.age }, count >= missed ? count - missed : count)
    }

    private static func elements(
        _ message: NetlinkMessage,
        _ family: IPFamily,
        _ transport: TransportProtocol
    ) -> [(FirstPacket, Duration)] {
        let list = message.netfilterAttributes[Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue)]?.nested
        return (list ?? .none).compactMap { attribute in
            let element = attribute.nested
            guard let key = element[Int(NFTA_SET_ELEM_KEY.rawValue)]?.elementValue,
                let index = element[Int(NFTA_SET_ELEM_DATA.rawValue)]?.elementValue,
                let rest = element[Int(NFTA_SET_ELEM_EXPIRATION.rawValue)]?.bigEndianLong
            else { return nil }
            var fields = ElementReader(key)
            var data = ElementReader(index)
            guard let source = fields.address(family), let sourcePort = fields.port(),
                let destination = fields.address(family), let port = fields.port(),
                let interface = data.hostOrderWord()
            else { return nil }
            let packet = FirstPacket(
                from: source,
                sourcePort,
                to: FrontendKey(destination, transport, port),
                by: interface == 0 ? nil : Interfaces.name(of: interface) ?? "\(interface)"
            )
            return (packet, .milliseconds(rest))
        }
    }

    /// The number of packets for which there was no room.
    private func missedCount() throws(NetlinkError) -> UInt64 {
        var count: UInt64 = 0
        try table.readRules(of: StoppedPacketRules.enter, restart: { count = 0 }) { message in
            let expressions = message.netfilterAttributes[Int(NFTA_RULE_EXPRESSIONS.rawValue)]
            for expression in expressions?.nested ?? .none {
                count &+= expression.counterPackets ?? 0
            }
        }
        return count
    }
}

/// The chains and rules that enter packets and take them out.
private struct StoppedPacketRules {
    private let family: IPFamily

    init(_ family: IPFamily) { self.family = family }

    private static let (first, leave) = ("first", "leave")
    static let enter = "enter"

    static func set(_ transport: TransportProtocol) -> String { "under-way-\(transport)" }

    func write(
        _ blocks: [IPPrefix],
        _ client: IPPrefix?,
        to table: LookingTableWriter,
        _ batch: inout NetlinkBatch
    ) {
        table.addSet(SetID.frontends.name, key: PacketField.frontend, &batch)
        table.addSet(SetID.clusterIPs.name, key: [.destinationAddress], &batch)
        for transport in TransportProtocol.allCases {
            table.addSet(Self.set(transport), key: PacketField.connection, &batch) { set in
                set.set(
                    NFTNL_SET_FLAGS,
                    SetDefinition.Flag.map | SetDefinition.Flag.timeout | SetDefinition.Flag.eval
                )
                set.set(NFTNL_SET_DATA_TYPE, Self.interfaceType)
                set.set(NFTNL_SET_DATA_LEN, UInt32(MemoryLayout<UInt32>.size))
                set.set(NFTNL_SET_DESC_SIZE, StoppedPackets.capacity)
                set.timeout = UInt64(StoppedPackets.memory.components.seconds) * 1000
            }
        }
        for chain in [Self.enter, Self.first, Self.leave] { table.addChain(chain, &batch) }
        for rule in entries { table.addRule(rule, to: Self.enter, &batch) }
        for rule in choices(blocks, client) { table.addRule(rule, to: Self.first, &batch) }
        for rule in exits { table.addRule(rule, to: Self.leave, &batch) }
        table.addPlaces(
            starting: openings,
            ending: [[.verdict(.goto, Self.leave)]],
            &batch
        )
    }

    /// nft's number for the index of an interface (`TYPE_IFINDEX`).
    private static let interfaceType: UInt32 = 20

    // MARK: The beginning

    /// The packets that open connections: segments with SYN and without ACK, datagrams, and INIT
    /// chunks.
    private var openings: [[KernelExpression]] {
        TransportProtocol.allCases.map { transport in
            let opens: [KernelExpression] =
                switch transport {
                case .tcp: KernelExpression.isFirstSegment
                case .udp: []
                case .sctp:
                    [
                        .payload(.transport, offset: 12, length: 1, register: 1),
                        .compare(.equal, register: 1, [1]),
                    ]
                }
            return transport.isEqual + opens + [.verdict(.goto, Self.first)]
        }
    }

    private func choices(_ blocks: [IPPrefix], _ client: IPPrefix?) -> [[KernelExpression]] {
        let enter = KernelExpression.verdict(.goto, Self.enter)
        var rules: [[KernelExpression]] = []
        if let client {
            rules.append(
                [PacketField.sourceAddress].loaded(family) + Self.compare(.notEqual, client)
                    + [.verdict(.return, nil)]
            )
        }
        rules.append(
            PacketField.frontend.loaded(family)
                + [.lookup(SetID.frontends.name, register: 1, into: nil, negated: false), enter]
        )
        rules.append(
            [PacketField.destinationAddress].loaded(family)
                + [.lookup(SetID.clusterIPs.name, register: 1, into: nil, negated: false), enter]
        )
        rules += blocks.map {
            [PacketField.destinationAddress].loaded(family) + Self.compare(.equal, $0) + [enter]
        }
        return rules
    }

    /// Compares the address in the first register with a block.
    private static func compare(
        _ comparison: KernelExpression.Comparison,
        _ block: IPPrefix
    ) -> [KernelExpression] {
        let mask = PacketField.mask(UInt32(block.length), block.family)?.networkOrderBytes
        let masked = mask.map {
            [KernelExpression.mask(from: 1, into: 1, $0, xor: $0.map { _ in 0 })]
        }
        return (masked ?? []) + [
            .compare(comparison, register: 1, block.base.networkOrderBytes)
        ]
    }

    /// Behind them counts a rule what found no room.
    private var entries: [[KernelExpression]] {
        TransportProtocol.allCases.map { transport in
            transport.isEqual + element(.add, PacketField.connection, transport)
                + [.verdict(.return, nil)]
        } + [[.counter]]
    }

    private func element(
        _ operation: KernelExpression.SetUpdate.Operation,
        _ key: [PacketField],
        _ transport: TransportProtocol
    ) -> [KernelExpression] {
        let data = KernelExpression.register(key.registerBytes(family) / 4)
        return key.loaded(family) + [
            .meta(.inputIndex, register: data),
            .update(.init(operation, Self.set(transport), key: 1, data: data)),
        ]
    }

    // MARK: The end

    /// Packets are told by the first addresses of their connection, which conntrack has, and those that
    /// it does not track by their headers.
    private var exits: [[KernelExpression]] {
        let (invalid, new, untracked): (UInt32, UInt32, UInt32) = (1, 8, 64)
        return TransportProtocol.allCases.flatMap { transport in
            let isOf = transport.isEqual
            // Established connections have no packets under way, except of datagrams.
            let isNew = transport == .udp ? [] : Self.state(new)
            return [
                isOf + isNew + element(.delete, PacketField.originalConnection, transport),
                isOf + Self.state(invalid | untracked)
                    + element(.delete, PacketField.connection, transport),
            ]
        }
    }

    private static func state(_ bits: UInt32) -> [KernelExpression] {
        [
            .connection(.state, of: nil, register: 1),
            .mask(from: 1, into: 1, withUnsafeBytes(of: bits, Array.init), xor: [0, 0, 0, 0]),
            .compare(.notEqual, register: 1, [0, 0, 0, 0]),
        ]
    }
}
