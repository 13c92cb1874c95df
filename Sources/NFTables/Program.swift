package import NetworkTypes
package import ServicePlan

/// The rules of a table: constant but for the numbers in use, whatever the number of Services.
///
/// docs/packet-path.md walks through it; the design and its measurements are there too.
package struct Program: Sendable, Hashable {
    /// What the operator's configuration and the node's state decide.
    package struct Variant: Sendable, Hashable {
        package var role = TableRole.balancer
        package var localDetection = LocalDetection.none
        package var countsConnections = false
        package var remembersClients = true
        /// IPVS goes on with the connections that it has, beside nftables.
        package var inherits = false

        package init() {}

        package init(_ inputs: TableInputs, _ family: IPFamily) {
            role = inputs.role
            localDetection = inputs.facts.localDetection(family)
            remembersClients = inputs.remembersClients
            // IPVS counts by itself, and its packets do not come through `services`.
            countsConnections = inputs.facts.countsConnections && role == .balancer
            inherits = inputs.inherited != nil && role == .balancer
        }
    }

    package let family: IPFamily
    package let variant: Variant
    /// The pool sizes of `pick` and `pick-local`, and the timeouts of `remember`, in rule order.
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

    /// Whether IPVS translates connections that these rules see.
    private var isBesideBalancer: Bool { role == .policy || variant.inherits }

    /// Every chain, callees before callers.
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

    /// The frontend that a new packet was sent to.
    ///
    /// IPVS translates at the input hook, and what it sends on passes the output hook as if it were the
    /// node's own: there it has its endpoint's address, which may be anybody's frontend as well.
    private var target: [PacketField] {
        role == .policy ? PacketField.originalFrontend : PacketField.frontend
    }

    private var regularChains: [Chain] {
        [
            Chain(.sourceRanges, sourceRanges),
            // Packets that conntrack cannot place would leave untranslated, and the other side
            // would answer with a reset that kills the connection (kubernetes/kubernetes#74839).
            Chain(
                .invalid,
                [
                    Rule(.lookup(PacketField.frontend, in: .frontends), .counter, .drop)
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

    /// A timeout is part of an expression, so each one has a rule of its own.
    func remembering(_ timeout: UInt32) -> Chain {
        Chain(
            .rememberFor(seconds: timeout),
            variant.remembersClients ? [Rule(.remember(timeout: timeout))] : []
        )
    }

    /// One rule for each length of blocks in use: a set of ranges over all frontends would be quadratic
    /// to fill (`net/netfilter/nft_set_pipapo.c`).
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
            // IPVS takes packets behind this chain, when they still have the frontend's address.
            rules.append(Rule(served, .returning))
        case .balancer:
            rules += leftToPredecessor(.returning)
            // It came while the table was exchanged, and an earlier hook had the rules of before: the
            // client repeats it, as a connection that nobody has seen yet.
            rules.append(Rule(served, .counter, .drop))
        }
        rules += Self.reject(.lookup(address, in: .clusterIPs))
        rules.append(Rule(.lookup(address, in: .serviceCIDRs), .counter, .drop))
        return rules
    }

    /// With a reset where that is possible, since ICMP errors are rate limited and then look like
    /// time-outs.
    private static func reject(_ match: Statement) -> [Rule] {
        [
            Rule(match, .transport(.tcp), .counter, .reject(withReset: true)),
            Rule(match, .counter, .reject(withReset: false)),
        ]
    }

    /// What IPVS cannot do: pods and the node itself are not subject to the external traffic
    /// policy, and a virtual server has but one set of destinations.
    private var servicesBesideBalancer: [Rule] {
        [Rule(nonPods + [.sourceIsLocal(false), .returning])] + stickyFirst + [Rule(.goto(.pick))]
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
        // Pods and the node itself are not subject to the external traffic policy: for them it is
        // as if they had gone out to the load balancer and come back.
        let outsiders = [isFrontendOf(.localPolicy)] + nonPods.map { [$0] }.joined()
        return stickyFirst + [
            Rule(outsiders + [.sourceIsLocal(false), .goto(.pickLocal)]),
            Rule(.goto(.pick)),
        ]
    }

    /// Of connections to frontends only those are masqueraded that we translate; others may translate
    /// what we do not.
    private var masquerading: [Rule] {
        let isFrontendOf = { (set: SetID, negated: Bool) in
            Statement.lookup(PacketField.originalFrontend, in: set, negated: negated)
        }
        var rules: [Rule] = []
        if role == .policy {
            // Our rules translate no others, and those of other programs come before IPVS.
            rules.append(Rule(.isDNATed, isFrontendOf(.localPolicy, true), .returning))
        }
        rules += [
            Rule(isFrontendOf(.noEndpoints, false), .returning),
            Rule(isFrontendOf(.masqueradeFrontends, false), .masquerade),
        ]
        if let nonPods = nonPods.first {
            rules.append(
                Rule(
                    .lookup([.originalDestinationAddress], in: .clusterIPs),
                    nonPods,
                    isFrontendOf(.noLocalEndpoints, true),
                    .masquerade
                )
            )
        }
        // With IPVS the node's own connections have the virtual address as their source, which is a
        // local one there.
        let isNodes = isBesideBalancer ? [] : [isFrontendOf(.localPolicy, false)]
        rules += [
            Rule(isNodes + [.sourceIsLocal(true), .masquerade])
        ]
        return rules + hairpins.map { Rule($0 + [.masquerade]) }
    }

    /// Matches what a pod sends to itself by a frontend; those of `masquerade-frontends` have been
    /// masqueraded by then.
    private var hairpins: [[Statement]] {
        let isHairpin = Statement.lookup([.sourceAddress, .destinationAddress], in: .hairpin)
        guard !isBesideBalancer else { return [[isHairpin]] }
        return [
            [isHairpin, .lookup([.originalDestinationAddress], in: .clusterIPs)],
            [isHairpin, .lookup(PacketField.originalFrontend, in: .localPolicy)],
        ]
    }

    /// Matches what no pod sent; empty if pods cannot be told.
    private var nonPods: [Statement] {
        switch variant.localDetection {
        case .none: []
        case .podCIDRs: [.lookup([.sourceAddress], in: .podCIDRs, negated: true)]
        case .interface(let name): [.inputInterfaceIsNot(name: name, isPrefix: false)]
        case .interfacePrefix(let name): [.inputInterfaceIsNot(name: name, isPrefix: true)]
        }
    }

    /// Matches translated connections; `ct status dnat` tells of translation by nftables alone.
    ///
    /// `frontends` is not looked up again where its elements may count: a connection finds its own
    /// once, in `translate`.
    private var isServices: Statement {
        isBesideBalancer ? .lookup(PacketField.originalFrontend, in: .frontends) : .isDNATed
    }

    /// For connections that IPVS has, when nftables takes over from it, and for new ones of the same
    /// client's port.
    ///
    /// When IPVS forgets a connection, it takes conntrack's entry of the same addresses and ports away,
    /// whosever it is by then (`net/netfilter/ipvs/ip_vs_nfct.c: ip_vs_conn_drop_conntrack`); were
    /// it ours, that connection would break.
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

    /// Leads packets of external frontends to IPVS, which sees what is routed to the node itself.
    ///
    /// The node's own addresses are, and cluster IPs, which a device of its own has; for others a mark
    /// chooses the way (`SteeringRoute`), so that nothing but the frontends is taken of an address
    /// that others may have. What the rules themselves have translated is a frontend's no longer.
    /// The mark is gone before IPVS sends the packet on: it would come back.
    private func steering(_ isOn: Bool) -> [Rule] {
        guard role == .policy else { return leftToPredecessor(.steer(isOn)) }
        let withEndpoint = PacketField.frontend + [.replySourceAddress]
        return [
            Rule(.lookup(PacketField.frontend, in: .externalFrontends), .steer(isOn)),
            // The frontend may be somebody else's by now: only what IPVS has translated is taken.
            Rule(.lookup(withEndpoint, in: .draining), .steer(isOn)),
        ]
    }

    private var steerChains: [Chain] {
        guard isBesideBalancer else { return [] }
        let base = BaseChain(type: .filter, hook: .prerouting, priority: Self.dstnat + 10)
        // What is translated already may well go to an address that is somebody's frontend.
        return [
            Chain(
                .steerPrerouting,
                base: base,
                [Rule(.isDNATed, .returning)] + steering(true)
            )
        ]
    }

    private static let dstnat: Int32 = -100

    /// The first chain that decides about a connection's destination is the last to be asked
    /// (`net/netfilter/nf_nat_core.c: nf_nat_inet_fn`), so ours come before those of others, who use
    /// `dstnat`; among equals it would be who registered first.
    private static let translation = dstnat - 1

    private var translate: [Rule] {
        switch role {
        case .balancer:
            // Each connection finds its frontend once here, and is counted by it.
            leftToPredecessor(.keepDestination)
                + [Rule(.lookup(PacketField.frontend, in: .frontends), .jump(.services))]
        case .policy:
            // Where cluster IPs are addresses of the node, rules that translate what is sent to the
            // node (`fib daddr type local`, of network plugins for host ports) would take their
            // connections away (kubernetes/kubernetes#60305).
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
        // What is translated, by us or by others, goes to an endpoint; the endpoint's address may be
        // anybody's frontend as well.
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
