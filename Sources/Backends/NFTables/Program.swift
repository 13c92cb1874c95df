package import NetworkTypes
package import ServicePlan

/// The rules of a table, which are constant except for the numbers in them, however many Services
/// there are.
///
/// docs/packet-path.md explains them, with the design and its measurements.
package struct Program: Sendable, Hashable {
    /// The choices that depend on the configuration and on the node's state.
    package struct Variant: Sendable, Hashable {
        package var role = TableRole.balancer
        package var localDetection = LocalDetection.none
        package var countsConnections = false
        package var remembersClients = true
        /// Whether IPVS keeps the connections that it has while nftables serves new ones.
        package var inherits = false

        package init() {}

        package init(_ inputs: TableInputs, _ family: IPFamily) {
            role = inputs.role
            localDetection = inputs.facts.localDetection(family)
            remembersClients = inputs.remembersClients
            // IPVS counts its connections itself, and its packets do not pass `services`.
            countsConnections = inputs.facts.countsConnections && role == .balancer
            inherits = inputs.inherited != nil && role == .balancer
        }
    }

    package let family: IPFamily
    package let variant: Variant
    /// The numbers that occur in rules, in the order of the rules.
    package var numbers: ProgramNumbers

    package init(
        _ family: IPFamily,
        _ variant: Variant = .init(),
        numbers: ProgramNumbers = .init()
    ) {
        self.family = family
        self.variant = variant
        self.numbers = numbers
    }

    private var role: TableRole { variant.role }

    /// Whether IPVS translates connections whose packets these rules see.
    private var isBesideBalancer: Bool { role == .policy || variant.inherits }

    /// All chains; a chain comes before the chains that refer to it.
    package var chains: [Chain] { regularChains + baseChains + steerChains }

    package var sets: [SetDefinition] {
        let sourceSets = numbers.sourceLengths.map(SetID.allowedSources)
        return (SetID.constant(variant) + sourceSets).map { id in
            var definition = SetDefinition(id)
            definition.hasCounter = id == .frontends && variant.countsConnections
            return definition
        }
    }

    package func chain(_ name: Chain.Name) -> Chain? { chains.first { $0.name == name } }

    /// The fields that hold the frontend to which the client sent a new packet.
    ///
    /// IPVS translates at the input hook, and the packets that it forwards pass the output hook
    /// like the node's own. There they have the endpoint's address, which may also be the address
    /// of a frontend.
    private var target: [PacketField] {
        role == .policy ? PacketField.originalFrontend : PacketField.frontend
    }

    private var regularChains: [Chain] {
        [
            Chain(.sourceRanges, sourceRanges),
            // Packets that conntrack cannot assign to a connection would leave untranslated, and
            // the other side would answer with a reset that ends the connection
            // (kubernetes/kubernetes#74839).
            Chain(
                .invalid,
                [
                    Rule(.lookup(PacketField.frontend, in: .frontends), .counter, .drop),
                    // Of IPVLAN in mode l3, a node sees what its pods send, at the output hook, but
                    // not what they get: all their answers are INVALID, and nobody translates them
                    // here (`drivers/net/ipvlan/ipvlan_core.c: ipvlan_process_outbound`).
                    Rule(.inputInterfaceIsKnown(false), .sourceIsLocal(false), .returning),
                ]
                    + [SetID.serviceEndpoints, .formerEndpoints].map { set in
                        Rule(
                            .lookup([.sourceAddress, .transportProtocol, .sourcePort], in: set),
                            .counter,
                            .drop
                        )
                    }
            ),
            Chain(.pick, numbers.poolSizes.map { Self.pick($0, .endpoints) }),
        ]
            + (role == .balancer
                ? [
                    Chain(
                        .pickLocal,
                        numbers.localPoolSizes.map { Self.pick($0, .localEndpoints) }
                    ),
                    Chain(.services, services),
                ] : [Chain(.services, servicesBesideBalancer)]) + [
                Chain(.masquerading, masquerading),
                Chain(.noService, noService),
            ]
            + numbers.affinityTimeouts.map(remembering) + [
                Chain(
                    .remember,
                    [Rule(.verdict(PacketField.originalFrontend, map: .stickyTimeouts))]
                )
            ]
    }

    /// Returns the chain for one affinity timeout; a timeout is part of an expression, so each has
    /// its own rule.
    func remembering(_ timeout: UInt32) -> Chain {
        Chain(
            .rememberFor(seconds: timeout),
            variant.remembersClients ? [Rule(.remember(timeout: timeout))] : []
        )
    }

    /// The rules for source ranges, one for each prefix length in use.
    ///
    /// A single set of ranges for all frontends would take quadratic time to fill
    /// (`net/netfilter/nft_set_pipapo.c`).
    private var sourceRanges: [Rule] {
        [Rule(.lookup(target, in: .restricted, negated: true), .returning)]
            + numbers.sourceLengths.map { length in
                let block = target + [.sourceBlock(length: length)]
                return Rule(.lookup(block, in: .allowedSources(length: length)), .returning)
            } + [Rule(.counter, .drop)]
    }

    private var noService: [Rule] {
        let frontend = target
        let address = [frontend[0]]
        var rules = Self.reject(.lookup(frontend, in: .noEndpoints))
        rules.append(Rule(.lookup(frontend, in: .noLocalEndpoints), .counter, .drop))
        let served = Statement.lookup(frontend, in: .frontends)
        switch role {
        case .policy:
            // IPVS gets packets after this chain, so here they still have the frontend's address.
            rules.append(Rule(served, .returning))
        case .balancer:
            rules += leftToPredecessor(.returning)
            // The packet arrived while the table was replaced, and an earlier hook still had the
            // old rules. The client will send it again as part of a connection that no rule has
            // seen.
            rules.append(Rule(served, .counter, .drop))
        }
        rules += Self.reject(.lookup(address, in: .clusterIPs))
        rules.append(Rule(.lookup(address, in: .serviceCIDRs), .counter, .drop))
        return rules
    }

    /// Returns rules that reject packets: TCP with a reset, since ICMP errors are rate limited and
    /// clients would then run into timeouts.
    private static func reject(_ match: Statement) -> [Rule] {
        [
            Rule(match, .transport(.tcp), .counter, .reject(withReset: true)),
            Rule(match, .counter, .reject(withReset: false)),
        ]
    }

    /// The rules for pods and the node itself, to which the external traffic policy does not apply.
    ///
    /// IPVS cannot serve them, since a virtual server has only one set of destinations.
    private var servicesBesideBalancer: [Rule] {
        [Rule(variant.localDetection.nonPods + [.sourceIsLocal(false), .returning])] + stickyFirst
            + [Rule(.goto(.pick))]
    }

    private var stickyFirst: [Rule] {
        guard variant.remembersClients else { return [] }
        return [
            Rule(
                .lookup(PacketField.frontend, in: .sticky),
                .dnat([.clientBucket] + PacketField.frontend, map: .affinity)
            )
        ]
    }

    private static func pick(_ size: UInt32, _ map: SetID) -> Rule {
        let slot = PacketField.random(modulus: size, offset: PoolLayout.firstSlot(size))
        return Rule(.dnat(PacketField.frontend + [slot], map: map))
    }

    private var services: [Rule] {
        let isFrontendOf = { (set: SetID) in Statement.lookup(PacketField.frontend, in: set) }
        // The external traffic policy does not apply to pods and the node itself; they are treated
        // as if they had connected through the load balancer. The node's packets come by the output
        // hook, where there is no input interface; in a VRF `fib` does not know its addresses.
        let outsiders =
            [isFrontendOf(.localPolicy), .inputInterfaceIsKnown(true)]
            + variant.localDetection.nonPods
        return stickyFirst + [
            Rule(outsiders + [.sourceIsLocal(false), .goto(.pickLocal)]),
            Rule(.goto(.pick)),
        ]
    }

    /// The rules that masquerade connections which needletail or IPVS translates; connections that
    /// other programs translate are left alone.
    private var masquerading: [Rule] {
        let isFrontendOf = { (set: SetID, negated: Bool) in
            Statement.lookup(PacketField.originalFrontend, in: set, negated: negated)
        }
        var rules: [Rule] = []
        if role == .policy {
            // In this role the rules translate only connections to frontends in `local-policy`. All
            // other connections with DNAT were translated by other programs, before IPVS.
            rules.append(Rule(.isDNATed, isFrontendOf(.localPolicy, true), .returning))
        }
        rules += [
            Rule(isFrontendOf(.noEndpoints, false), .returning),
            Rule(isFrontendOf(.masqueradeFrontends, false), .masquerade),
        ]
        rules += variant.localDetection.leavingNonPods.map {
            Rule(
                [.lookup([.originalDestinationAddress], in: .clusterIPs)] + $0
                    + [isFrontendOf(.noLocalEndpoints, true), .masquerade]
            )
        }
        // With IPVS, the node's own connections have the frontend's address as their source, which
        // is a local address there.
        let isNodes = isBesideBalancer ? [] : [isFrontendOf(.localPolicy, false)]
        rules += [
            Rule(isNodes + [.sourceIsLocal(true), .masquerade])
        ]
        return rules + hairpins.map { Rule($0 + [.masquerade]) }
    }

    /// Match packets that a pod sends to itself through a frontend; those to `masquerade-frontends`
    /// are masqueraded by an earlier rule.
    private var hairpins: [[Statement]] {
        let isHairpin = Statement.lookup([.sourceAddress, .destinationAddress], in: .hairpin)
        guard !isBesideBalancer else { return [[isHairpin]] }
        return [
            [isHairpin, .lookup([.originalDestinationAddress], in: .clusterIPs)],
            [isHairpin, .lookup(PacketField.originalFrontend, in: .localPolicy)],
        ]
    }

    /// Matches translated connections; `ct status dnat` matches only translation by nftables.
    ///
    /// Where the elements of `frontends` may count connections, this does not look up `frontends`
    /// again: each connection must find its element only once, in `translate`.
    private var isServices: Statement {
        isBesideBalancer ? .lookup(PacketField.originalFrontend, in: .frontends) : .isDNATed
    }

    /// Returns rules for connections that IPVS keeps while nftables takes over, and for new ones
    /// from the same client port.
    ///
    /// When IPVS forgets a connection, it deletes conntrack's entry with the same addresses and
    /// ports, even if that belongs to a new connection (`net/netfilter/ipvs/ip_vs_nfct.c:
    /// ip_vs_conn_drop_conntrack`). If nftables had translated the new connection, it would break.
    private func leftToPredecessor(_ verdict: Statement) -> [Rule] {
        guard variant.inherits else { return [] }
        return [
            Rule(
                .transport(.udp, isEqual: false),
                .lookup(PacketField.connection, in: .inherited),
                verdict
            )
        ]
    }

    /// Returns rules that set or clear the mark that leads packets of external frontends to IPVS.
    ///
    /// IPVS sees only packets that are routed to the node itself. The node's own addresses are, and
    /// cluster IPs, which are bound to a device. For other addresses the mark selects a route to
    /// the node (`SteeringRoute`), so that only packets to frontends are taken; the address itself
    /// may belong to another host. The mark is cleared before IPVS forwards the packet, which would
    /// otherwise come back.
    private func steering(_ isOn: Bool) -> [Rule] {
        guard role == .policy else { return leftToPredecessor(.steer(isOn)) }
        let withEndpoint = PacketField.frontend + [.replySourceAddress]
        return [
            Rule(.lookup(PacketField.frontend, in: .externalFrontends), .steer(isOn)),
            // The frontend's address may belong to another host by now, so only connections that
            // IPVS has translated are taken.
            Rule(.lookup(withEndpoint, in: .draining), .steer(isOn)),
        ]
    }

    private var steerChains: [Chain] {
        guard isBesideBalancer else { return [] }
        let base = BaseChain(type: .filter, hook: .prerouting, priority: Self.dstnat + 10)
        // Packets that are translated already go to an endpoint, whose address may also be the
        // address of a frontend.
        return [
            Chain(
                .steerPrerouting,
                base: base,
                [Rule(.isDNATed, .returning)] + steering(true)
            )
        ]
    }

    private static let dstnat: Int32 = -100

    /// The priority of the chains that translate: just before `dstnat`, which other programs use.
    ///
    /// The first chain that decides about a connection's destination wins
    /// (`net/netfilter/nf_nat_core.c: nf_nat_inet_fn`). Among chains with equal priority, the order
    /// of registration would decide.
    private static let translation = dstnat - 1

    private var translate: [Rule] {
        switch role {
        case .balancer:
            // Here each connection finds its frontend exactly once, so the element counts it.
            leftToPredecessor(.keepDestination)
                + [Rule(.lookup(PacketField.frontend, in: .frontends), .jump(.services))]
        case .policy:
            // In mode ipvs cluster IPs are addresses of the node. Rules of network plugins for host
            // ports translate packets to the node (`fib daddr type local`) and would take these
            // connections (kubernetes/kubernetes#60305).
            [
                Rule(.lookup([.destinationAddress], in: .clusterIPs), .keepDestination),
                Rule(.lookup(PacketField.frontend, in: .localPolicy), .jump(.services)),
            ]
        }
    }

    private var baseChains: [Chain] {
        let dstnat = Self.dstnat
        let checkSources = [
            Rule(.state(.new), .jump(.sourceRanges)), Rule(.state(.invalid), .jump(.invalid)),
        ]
        // Packets that any program has translated go to an endpoint, whose address may also be the
        // address of a frontend.
        let filter = [
            Rule(.state(.new), .isDNATed, .goto(.remember)),
            Rule(.state(.new), .jump(.noService)),
        ]
        return [
            Chain(
                .preDNATPrerouting,
                base: .init(type: .filter, hook: .prerouting, priority: dstnat - 10),
                checkSources
            ),
            Chain(
                .preDNATOutput,
                base: .init(type: .filter, hook: .output, priority: dstnat - 10),
                checkSources
            ),
            Chain(
                .dnatPrerouting,
                base: .init(type: .nat, hook: .prerouting, priority: Self.translation),
                translate
            ),
            Chain(
                .dnatOutput,
                base: .init(type: .nat, hook: .output, priority: Self.translation),
                translate
            ),
            Chain(
                .snatPostrouting,
                base: .init(type: .nat, hook: .postrouting, priority: 100),
                [Rule(isServices, .jump(.masquerading))]
            ),
            Chain(
                .filterInput,
                base: .init(type: .filter, hook: .input, priority: 0),
                steering(false) + filter
            ),
            Chain(.filterForward, base: .init(type: .filter, hook: .forward, priority: 0), filter),
            Chain(.filterOutput, base: .init(type: .filter, hook: .output, priority: 0), filter),
        ]
    }
}

extension Rule {
    init(_ statements: [Statement]) { self.statements = statements }
}
