internal import NFTables
internal import NetworkTypes

/// Walks packets through the hooks of a kernel as its rules and routes are.
///
/// What cannot be evaluated becomes a doubt, and the packet is followed either way.
package struct Evaluator {
    package let ruleset: Ruleset
    let elements: any ElementSource
    let routing: Routing
    var servers: VirtualServers?
    private let stations: [IPFamily: Stations]

    /// - Parameters:
    ///   - elements: answers lookups; nil: the sets of the ruleset have their elements
    ///   - servers: nil without IPVS
    package init(
        _ ruleset: Ruleset,
        elements: (any ElementSource)? = nil,
        routing: Routing,
        servers: VirtualServers? = nil
    ) {
        (self.ruleset, self.elements, self.routing) = (ruleset, elements ?? ruleset, routing)
        self.servers = servers
        stations = Dictionary(
            uniqueKeysWithValues: IPFamily.allCases.map {
                ($0, Stations(ruleset, $0, balances: servers != nil))
            }
        )
    }

    /// Everything that may become of a packet; the weights of what is certain sum to one if nothing
    /// is doubtful.
    package func possibilities(
        of packet: Packet,
        _ tracking: Tracking = .new
    ) -> [Possibility] {
        var walk = Walk(evaluator: self, entry: tracking)
        walk.start(packet)
        return walk.endings.possibilities
    }

    func stations(_ family: IPFamily, _ hook: BaseChain.Hook) -> [Stations.Station] {
        stations[family]?[hook] ?? []
    }
}

/// One packet's way.
struct Walk {
    let evaluator: Evaluator
    /// What conntrack finds of the packet.
    let entry: Tracking
    var endings = Endings()

    init(evaluator: Evaluator, entry: Tracking) {
        (self.evaluator, self.entry) = (evaluator, entry)
    }

    mutating func start(_ packet: Packet) {
        let traveller = Traveller(packet)
        if packet.inputInterface == nil { send(traveller) } else { receive([traveller]) }
    }

    // MARK: The hooks

    /// A packet that an interface has received.
    mutating func receive(_ travellers: [Traveller]) {
        for traveller in pass(.prerouting, travellers) {
            guard let way = way(traveller) else { continue }
            switch way {
            case .input: take([traveller])
            case .forward(let interface): forward(traveller, interface)
            case .nowhere: endings.add(traveller, .unroutable)
            }
        }
    }

    private mutating func take(_ travellers: [Traveller]) {
        for traveller in pass(.input, travellers) { deliver(traveller, .input) }
    }

    private mutating func forward(_ traveller: Traveller, _ interface: String) {
        var traveller = traveller
        traveller.packet.outputInterface = interface
        let input = traveller.packet.inputInterface
        let isBridged = input == interface && evaluator.routing.isFilteredBridge(interface)
        for var traveller in pass(.forward, [traveller]) {
            if isBridged { traveller.packet.inputInterface = nil }
            for var traveller in pass(.postrouting, [traveller]) {
                traveller.packet.inputInterface = input
                deliver(traveller, .forward)
            }
        }
    }

    /// A packet of a process of the node: it has a route before the rules see it, and gets another
    /// one if they have changed it (`net/ipv4/netfilter/nf_nat_l3proto_ipv4.c: nf_nat_ipv4_local_fn`).
    mutating func send(_ traveller: Traveller) {
        guard let first = way(traveller) else { return }
        guard first != .nowhere else { return endings.add(traveller, .unroutable) }
        var start = traveller
        start.packet.outputInterface = first.outputInterface
        for var traveller in pass(.output, [start]) {
            guard let way = way(traveller) else { continue }
            guard way != .nowhere else {
                endings.add(traveller, .unroutable)
                continue
            }
            traveller.packet.outputInterface = way.outputInterface
            for traveller in pass(.postrouting, [traveller]) {
                if way == .input { loop(traveller) } else { deliver(traveller, .output) }
            }
        }
    }

    /// What the node sends to itself comes back by the loopback interface, with the entry that
    /// conntrack has given it.
    private mutating func loop(_ traveller: Traveller) {
        var traveller = traveller
        traveller.packet.inputInterface = "lo"
        traveller.packet.outputInterface = nil
        take(pass(.prerouting, [traveller]))
    }

    mutating func way(_ traveller: Traveller) -> Routing.Way? {
        if traveller.packet.mark != nil, let way = evaluator.routing.way(traveller.packet) {
            return way
        }
        let doubtful = traveller.doubting(nil, "the route is not known", holds: true)
        endings.add(doubtful, .undecided)
        return nil
    }

    mutating func deliver(_ traveller: Traveller, _ hook: BaseChain.Hook) {
        endings.add(
            traveller,
            .delivered(
                traveller.packet.destination,
                port: traveller.packet.destinationPort,
                isMasqueraded: traveller.connection?.isMasqueraded ?? false,
                hook: hook
            )
        )
    }

    /// Everything that is called at a hook.
    mutating func pass(
        _ hook: BaseChain.Hook,
        _ travellers: [Traveller]
    ) -> [Traveller] {
        guard let family = travellers.first?.packet.family else { return [] }
        var travellers = travellers
        for station in evaluator.stations(family, hook) {
            switch station {
            case .conntrack: travellers = travellers.map(track)
            case .balancer: travellers = balance(travellers)
            case .chain(let place): travellers = call(place, hook, travellers)
            case .translation(let chains):
                travellers = translate(chains, hook, travellers)
            }
            travellers = Traveller.merged(travellers)
        }
        return travellers
    }

    /// The entry of the packet; one that comes again keeps its own (`net/netfilter/nf_conntrack_core.c:
    /// nf_conntrack_in`).
    private func track(_ traveller: Traveller) -> Traveller {
        guard traveller.tracking == nil, !traveller.isUntracked else { return traveller }
        var traveller = traveller
        switch entry {
        case .new:
            let tuple = traveller.packet.tuple
            traveller.connection = Connection(.new, original: tuple, reply: tuple.inverse)
        case .invalid, .connection: traveller.tracking = entry
        }
        return traveller
    }

    // MARK: Chains

    /// A base chain; who comes back from it meets its policy.
    mutating func call(
        _ place: Stations.ChainPlace,
        _ hook: BaseChain.Hook,
        _ travellers: [Traveller]
    ) -> [Traveller] {
        let base = evaluator.ruleset.tables[place.table]?.chains[place.name]?.base
        let travellers = endings.companion?.calling(place, travellers) ?? travellers
        let result = run(place, hook, travellers, depth: 0)
        guard base?.isDropping == true else { return result.accepted + result.returned }
        for var traveller in result.returned {
            traveller.rules.append(RuleReference(place.table, place.name, nil))
            endings.add(traveller, .dropped)
        }
        return result.accepted
    }

    /// The kernel takes no deeper jumps (`NFT_JUMP_STACK_SIZE`).
    private static let deepest = 16

    /// Runs the rules of a chain (`net/netfilter/nf_tables_core.c: nft_do_chain`).
    ///
    /// - Returns: those that the base chain lets go on, and those that go on behind the jump
    private mutating func run(
        _ place: Stations.ChainPlace,
        _ hook: BaseChain.Hook,
        _ travellers: [Traveller],
        depth: Int
    ) -> (accepted: [Traveller], returned: [Traveller]) {
        guard depth <= Self.deepest,
            let chain = evaluator.ruleset.tables[place.table]?.chains[place.name]
        else {
            for traveller in travellers {
                let reason = "chain \(place.name) is missing, or jumps are too deep"
                endings.add(traveller.doubting(nil, reason, holds: true), .undecided)
            }
            return ([], [])
        }
        var (accepted, returned): ([Traveller], [Traveller]) = ([], [])
        var current = travellers
        for rule in chain.rules where !current.isEmpty {
            let machine = RuleMachine(evaluator, place, rule, hook)
            var exits = machine.execute(current)
            endings.companion?.keep(&exits)
            for (traveller, outcome) in exits.ended { endings.add(traveller, outcome) }
            accepted += exits.accepted
            returned += exits.returned
            current = exits.further
            for (target, isJump) in exits.calls.keys.sorted(by: { $0.chain < $1.chain })
                .map({ ($0, $0.isJump) })
            {
                let callee = Stations.ChainPlace(table: place.table, name: target.chain)
                let result = run(callee, hook, exits.calls[target] ?? [], depth: depth + 1)
                accepted += result.accepted
                if isJump { current += result.returned } else { returned += result.returned }
            }
            current = Traveller.merged(current)
        }
        return (accepted, returned + current)
    }
}

extension Routing.Way {
    fileprivate var outputInterface: String? {
        switch self {
        case .input: "lo"
        case .forward(let interface): interface
        case .nowhere: nil
        }
    }
}
