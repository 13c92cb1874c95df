import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// Chains as a kernel has them after the changes.
private struct FakeChains {
    private(set) var rules: [Chain.Name: [Rule]] = [:]
    private(set) var problems: [String] = []

    mutating func apply(_ changes: Changeset, _ program: Program) {
        if changes.createsTable {
            rules = Dictionary(uniqueKeysWithValues: program.chains.map { ($0.name, $0.rules) })
        }
        for (name, change) in changes.chains {
            switch change {
            case .create(let chain):
                if rules[name] != nil { problems.append("\(name) is there") }
                rules[name] = chain.rules
            case .append(let more):
                if rules[name] == nil { problems.append("no \(name) to append to") }
                rules[name, default: []] += more
            case .replace(let new):
                if rules[name] == nil { problems.append("no \(name) to replace") }
                rules[name] = new
            case .delete:
                if rules.removeValue(forKey: name) == nil { problems.append("no \(name)") }
            }
        }
    }
}

/// Facts of the node that change together with Services.
@Suite struct TableInputsHistoryTests {
    private func blocks(_ texts: [String], _ random: inout Seeded) -> [IPPrefix] {
        texts.filter { _ in Bool.random(using: &random) }.map(prefix)
    }

    private func inputs(_ role: TableRole, _ random: inout Seeded) -> TableInputs {
        let detection: LocalDetection? = [
            .none, .podCIDRs, .interface("cni0"), .interfacePrefix("veth"),
        ].randomElement(using: &random)
        let facts = NodeFacts(
            serviceCIDRs: blocks(["10.96.0.0/12", "10.96.0.0/16", "fd96::/108"], &random),
            podCIDRs: blocks(["10.244.0.0/16", "fd44::/48"], &random),
            localDetection: detection ?? .none,
            countsConnections: false
        )
        var inputs = TableInputs(facts, role: role)
        inputs.remembersClients = Bool.random(using: &random)
        for number in 1...3 where Bool.random(using: &random) {
            let frontend = FrontendKey(ip("203.0.113.\(number)"), .tcp, 80)
            inputs.draining.insert(DrainingDestination(frontend, ip("10.244.0.\(number)")))
        }
        if Bool.random(using: &random) {
            inputs.inherited = Set(
                (0..<Int.random(in: 0...3, using: &random)).map { number in
                    InheritedConnection(
                        AddressAndPort(ip("192.0.2.1"), UInt16(5000 + number)),
                        FrontendKey(ip("10.96.0.1"), .tcp, 80)
                    )
                }
            )
        }
        return inputs
    }

    @Test(arguments: 0..<16 as Range<UInt64>)
    func `Services and facts may change at once, and rules and elements are those of a fresh start`(
        seed: UInt64
    ) throws {
        var random = RandomPlans(seed: seed)
        let family: IPFamily = seed % 2 == 0 ? .ipv4 : .ipv6
        let role: TableRole = seed % 4 < 2 ? .balancer : .policy
        var plans = Dictionary(uniqueKeysWithValues: random.cluster(5).map { ($0.service, $0) })
        var inputs = inputs(role, &random.random)
        let (adopted, start) = TableState.adopting(.unusable, Array(plans.values), inputs, family)
        var state = ToldTable(adopted, Array(plans.values))
        var (table, chains) = (FakeTable(), FakeChains())
        try table.commit(start, program: state.program)
        chains.apply(start, state.program)
        for _ in 0..<15 {
            if Bool.random(using: &random.random) { inputs = self.inputs(role, &random.random) }
            let index = Int.random(in: 0..<5, using: &random.random)
            let new = Bool.random(using: &random.random) ? random.plan(index) : nil
            plans["test/service-\(index)"] = new
            let changes = state.apply([("test/service-\(index)", new)], node: inputs)
            try table.commit(changes, program: state.program)
            chains.apply(changes, state.program)
            #expect(chains.problems.isEmpty, "\(chains.problems)")
            #expect(
                chains.rules
                    == Dictionary(
                        uniqueKeysWithValues: state.program.chains.map { ($0.name, $0.rules) }
                    )
            )
            #expect(state.program.variant == Program.Variant(inputs, family))
            let (_, difference) = TableState.adopting(
                table.contents,
                Array(plans.values),
                inputs,
                family
            )
            #expect(difference.added.isEmpty && difference.removed.isEmpty, "\(difference)")
        }
    }
}
