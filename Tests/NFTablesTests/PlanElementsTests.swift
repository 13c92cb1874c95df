import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// The table of sets in docs/packet-path.md, row by row.
@Suite struct PlanElementsTests {
    private let key = FrontendKey(ip("203.0.113.1"), .tcp, 80)
    private let cluster = ["10.0.0.1", "10.0.0.2"]
    private let local = ["10.0.0.2"]

    private func plan(
        _ action: Frontend.Action,
        kind: Frontend.Kind = .nodePort,
        masquerade: Frontend.Masquerade = .everyone,
        change: (inout Frontend) -> Void = { _ in }
    ) -> ServicePlan {
        var frontend = Frontend(
            key: key,
            kind: kind,
            portName: "http",
            action: action,
            masquerade: masquerade
        )
        change(&frontend)
        let pools = [cluster, local].map { hosts in
            Pool(hosts.map { Endpoint(ip($0), 8080, isLocal: local.contains($0)) })
        }
        return ServicePlan(service: "shop/web", frontends: [frontend], pools: pools)
    }

    private func elements(_ plan: ServicePlan, _ role: TableRole) -> [SetID: [Element]] {
        TableState.adopting(.unusable, [plan], TableInputs(role: role), .ipv4).changes.added
    }

    /// The sets that hold the frontend's key alone.
    private func memberships(_ plan: ServicePlan, _ role: TableRole = .balancer) -> Set<SetID> {
        let key = ElementBytes(key)
        return Set(elements(plan, role).filter { $0.value.contains { $0.key == key } }.keys)
    }

    private let actions: [Frontend.Action] = [
        .balance(pool: 0), .split(cluster: 0, local: 1), .split(cluster: 0, local: nil), .reject,
        .drop,
    ]

    @Test func `a frontend is in the sets that decide about its packets`() {
        let expected: [[Frontend.Masquerade: Set<SetID>]] = [
            [.everyone: [.masqueradeFrontends], .nonPods: [], .node: [.localPolicy]],
            [.everyone: [.masqueradeFrontends], .nonPods: [], .node: [.localPolicy]],
            [
                .everyone: [.masqueradeFrontends, .noLocalEndpoints], .nonPods: [.noLocalEndpoints],
                .node: [.localPolicy, .noLocalEndpoints],
            ],
            [.everyone: [.noEndpoints], .nonPods: [.noEndpoints], .node: [.noEndpoints]],
            [
                .everyone: [.noLocalEndpoints], .nonPods: [.noLocalEndpoints],
                .node: [.noLocalEndpoints],
            ],
        ]
        for (action, sets) in zip(actions, expected) {
            for (masquerade, wanted) in sets {
                let found = memberships(plan(action, masquerade: masquerade))
                #expect(found == wanted.union([.frontends]), "\(action) \(masquerade)")
            }
        }
    }

    // A client of another balancer is masqueraded and refused by the same sets.
    @Test func `beside another balancer external frontends that it serves are led to it`() {
        for kind in [Frontend.Kind.clusterIP, .externalIP, .loadBalancerVIP, .nodePort] {
            for action in actions {
                let plan = plan(action, kind: kind)
                let isLed =
                    action.outerPool != nil && (kind == .externalIP || kind == .loadBalancerVIP)
                let sets = memberships(plan, .policy).subtracting([.externalFrontends])
                #expect(sets == memberships(plan))
                #expect(memberships(plan, .policy).contains(.externalFrontends) == isLed)
            }
        }
    }

    @Test func `affinity is kept where the rules choose endpoints`() {
        for (index, action) in actions.enumerated() {
            let sticky = plan(action) { $0.affinityTimeout = 60 }
            let isBalanced = index < 3
            #expect(memberships(sticky).contains(.sticky) == isBalanced)
            #expect((elements(sticky, .balancer)[.stickyTimeouts] != nil) == isBalanced)
            // IPVS keeps it with its virtual servers, and the rules for what those cannot do.
            let isSplit = index == 1 || index == 2
            #expect(memberships(sticky, .policy).contains(.sticky) == isSplit)
        }
    }

    @Test func `slots are of the pool that the role chooses`() {
        let hosts = { (plan: ServicePlan, role: TableRole, set: SetID) in
            (self.elements(plan, role)[set] ?? []).compactMap { element -> String? in
                var reader = ElementReader(element.data ?? ElementBytes())
                return reader.address(.ipv4)?.description
            }.sorted()
        }
        let balanced = plan(.balance(pool: 0))
        let split = plan(.split(cluster: 0, local: 1))
        let gap = plan(.split(cluster: 0, local: nil))
        #expect(hosts(balanced, .balancer, .endpoints) == cluster)
        #expect(hosts(balanced, .policy, .endpoints).isEmpty)
        for role in [TableRole.balancer, .policy] {
            #expect(hosts(split, role, .endpoints) == cluster)
            #expect(hosts(gap, role, .endpoints) == cluster)
        }
        #expect(hosts(split, .balancer, .localEndpoints) == local)
        #expect(hosts(split, .policy, .localEndpoints).isEmpty)
        #expect(hosts(gap, .balancer, .localEndpoints).isEmpty)
    }

    @Test func `source ranges are blocks by their length, and 0 is everyone`() {
        let restricted = plan(.balance(pool: 0)) {
            $0.allowedSources = ["10.0.0.0/8", "192.0.2.0/24", "198.51.100.0/24"].map(prefix)
        }
        #expect(memberships(restricted).contains(.restricted))
        let found = elements(restricted, .balancer)
        #expect(found[.allowedSources(length: 8)]?.count == 1)
        #expect(found[.allowedSources(length: 24)]?.count == 2)
        let open = plan(.balance(pool: 0)) {
            $0.allowedSources = ["0.0.0.0/0", "192.0.2.0/24"].map(prefix)
        }
        #expect(memberships(open) == memberships(plan(.balance(pool: 0))))
        // Ranges of which none could be read admit nobody.
        let closed = plan(.balance(pool: 0)) { $0.allowedSources = [] }
        #expect(memberships(closed).contains(.restricted))
    }

    @Test func `endpoints are known as such, those that drain too, and local ones for hairpins`() {
        var plan = plan(.split(cluster: 0, local: 1))
        plan.pools[0].draining = [Endpoint(ip("10.0.0.9"), 8080, isLocal: true)]
        let found = elements(plan, .balancer)
        let addresses = { (set: SetID) in
            (found[set] ?? []).compactMap { element -> String? in
                var reader = ElementReader(element.key)
                return reader.address(.ipv4)?.description
            }.sorted()
        }
        #expect(addresses(.serviceEndpoints) == ["10.0.0.1", "10.0.0.2", "10.0.0.9"])
        #expect(addresses(.hairpin) == ["10.0.0.2"])
        #expect(addresses(.clusterIPs).isEmpty)
        plan.frontends[0].kind = .clusterIP
        #expect(elements(plan, .balancer)[.clusterIPs]?.map(\.key) == [ElementBytes(key.address)])
    }

    @Test func `a comment names the Service's port`() {
        let comment = { (plan: ServicePlan) in
            self.elements(plan, .balancer)[.frontends]?.first?.comment
        }
        #expect(comment(plan(.drop)) == "shop/web:http")
        #expect(comment(plan(.drop) { $0.portName = "" }) == "shop/web")
    }

    @Test func `of a plan each family's table has its own`() {
        var plan = plan(.balance(pool: 0))
        var wide = plan.frontends[0]
        wide.key = FrontendKey(ip("fd00::1"), .tcp, 80)
        wide.action = .reject
        plan.frontends.append(wide)
        let added = { (family: IPFamily) in
            TableState.adopting(.unusable, [plan], TableInputs(), family).changes.added
        }
        #expect(added(.ipv4)[.frontends]?.map(\.key) == [ElementBytes(key)])
        #expect(added(.ipv6)[.frontends]?.map(\.key) == [ElementBytes(wide.key)])
        #expect(added(.ipv6)[.endpoints] == nil && added(.ipv6)[.serviceEndpoints] == nil)
        #expect(added(.ipv4)[.noEndpoints] == nil && added(.ipv6)[.noEndpoints]?.count == 1)
    }
}

@Suite struct NumberUsageHistoryTests {
    @Test(arguments: 0..<30 as Range<UInt64>)
    func `every number in use has a rule, and what changes is what is said`(seed: UInt64) {
        var random = Seeded(seed)
        var usage = NumberUsage()
        var users: [UInt32: Int] = [:]
        var rules: [UInt32] = []
        for _ in 0..<150 {
            let number = UInt32.random(in: 1...12, using: &random)
            let count = Int.random(in: -40...20, using: &random)
            let change = max(count, -users[number, default: 0])
            users[number, default: 0] += change
            usage.add(number, change)
            switch usage.settle() {
            case .none: break
            case .append(let more): rules += more
            case .replace(let new): rules = new
            }
            #expect(rules == usage.listed)
            #expect(Set(rules).count == rules.count)
            let used = Set(users.filter { $0.value > 0 }.keys)
            #expect(used.isSubset(of: rules))
            #expect(rules.count - used.count <= 4)
            // A rule that is used much more than another one does not stand behind it for long.
            for (front, back) in zip(rules, rules.dropFirst()) {
                #expect(users[back, default: 0] <= 2 * users[front, default: 0] + 16)
            }
        }
    }
}
