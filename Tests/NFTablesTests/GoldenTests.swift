import FoundationEssentials
import IPVS
import KubernetesModel
import ManifestSource
import NFTables
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

/// Compares the results for `Tests/Golden/<case>/input.yaml` with the files beside it.
///
/// These are the plan, the rulesets of both modes and the virtual servers. `make golden`
/// (NEEDLETAIL_RECORD=1) writes the current results and fails, so that a reviewer sees the
/// difference.
@Suite struct GoldenTests {
    static let cases =
        ((try? FileManager.default.contentsOfDirectory(atPath: "\(Fixture.root)/Golden")) ?? [])
        .sorted()

    @Test func `there are cases`() { #expect(Self.cases.count >= 5) }

    @Test(arguments: cases)
    func `rendering gives what was reviewed`(name: String) throws {
        let objects = try ManifestReader(file: name).objects(
            in: Fixture.text("Golden/\(name)/input.yaml")
        )
        var configuration = NodeConfiguration(nodeName: "node-1")
        configuration.nodeIPs = [ip("192.0.2.11"), ip("2001:db8::11")]
        configuration.podCIDRs = .cluster([prefix("10.244.0.0/16")])
        var plans = ClusterPlans()
        var byName: [ObjectName: (service: Service, slices: [EndpointSlice])] = [:]
        for case .service(let service) in objects { byName[service.name] = (service, []) }
        for case .endpointSlice(let slice) in objects {
            slice.service.map { byName[$0]?.slices.append(slice) }
        }
        _ = plans.update(byName.keys, for: configuration.view(node: nil, interfaceAddresses: [])) {
            byName[$0]
        }
        let sorted = plans.plans.sorted { $0.service < $1.service }
        let diagnostics = plans.diagnostics.sorted { $0.key < $1.key }.flatMap(\.value).map {
            "# \($0)"
        }
        try compare(
            (diagnostics + sorted.map(\.text)).joined(separator: "\n") + "\n",
            "Golden/\(name)/plan.txt"
        )
        let facts = configuration.facts(
            node: nil,
            serviceCIDRs: [prefix("10.96.0.0/12"), prefix("fd96::/108")]
        )
        for (role, file) in [(TableRole.balancer, "ruleset.nft"), (.policy, "ruleset-ipvs.nft")] {
            let inputs = TableInputs(facts, role: role)
            try compare(ruleset(sorted, inputs), "Golden/\(name)/\(file)")
        }
        let servers = sorted.flatMap { $0.virtualServers(BalancingDefaults()) }
        try compare(
            IPVSText.lines(servers).map { "\($0)\n" }.joined(),
            "Golden/\(name)/ipvs.txt"
        )
    }

    private func ruleset(_ plans: [ServicePlan], _ facts: TableInputs) -> String {
        IPFamily.allCases.map { family in
            let (state, changes) = TableState.adopting(
                .unusable,
                plans,
                facts,
                family
            )
            return RulesetPrinter(family).table(state.program, elements: changes.added)
        }.joined(separator: "\n")
    }

    private func compare(_ text: String, _ path: String) throws {
        let recorded = try? Fixture.text(path)
        if recorded == text { return }
        if ProcessInfo.processInfo.environment["NEEDLETAIL_RECORD"] != nil {
            try Data(text.utf8).write(to: URL(filePath: "\(Fixture.root)/\(path)"))
        }
        let difference = text.split(separator: "\n").difference(
            from: (recorded ?? "").split(separator: "\n")
        )
        Issue.record("\(path) is not what is rendered: \(difference.prefix(10))")
    }
}
