import KubernetesModel
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

@Suite struct ClusterPlansTests {
    private func service(_ name: String, ip address: String, createdAt: Int64?) -> Service {
        var service = ClusterBuilder(name, clusterIP: address).service
        service.createdAt = createdAt
        service.externalIPs = [ip("198.51.100.1")]
        return service
    }

    private func update(
        _ plans: inout ClusterPlans,
        _ services: [String: Service],
        _ names: [String]
    ) -> Set<String> {
        let changed = plans.update(
            names.map { ObjectName(namespace: "default", name: $0) },
            for: NodeView(name: "here")
        ) { name in services[name.name].map { ($0, []) } }
        return Set(changed.map(\.service))
    }

    private func owner(_ plans: ClusterPlans) -> [String] {
        plans.plans.values.filter { $0.frontends.contains { $0.kind == .externalIP } }.map(
            \.service
        )
    }

    @Test func `the older Service keeps a frontend that two claim, whatever comes first`() {
        let services = [
            "young": service("young", ip: "10.96.0.1", createdAt: 200),
            "old": service("old", ip: "10.96.0.2", createdAt: 100),
        ]
        for order in [["young", "old"], ["old", "young"]] {
            var plans = ClusterPlans()
            for name in order { _ = update(&plans, services, [name]) }
            #expect(owner(plans) == ["default/old"])
            let young = plans.diagnostics[ObjectName(namespace: "default", name: "young")] ?? []
            #expect(
                young.contains {
                    "\($0)".contains("198.51.100.1:80/tcp belongs to the older Service default/old")
                }
            )
            #expect(plans.plans.count == 2)
        }
    }

    @Test func `a frontend is inherited when its owner goes`() {
        var services = [
            "young": service("young", ip: "10.96.0.1", createdAt: 200),
            "old": service("old", ip: "10.96.0.2", createdAt: 100),
            "third": service("third", ip: "10.96.0.3", createdAt: nil),
        ]
        var plans = ClusterPlans()
        _ = update(&plans, services, ["third", "young", "old"])
        services["old"] = nil
        #expect(update(&plans, services, ["old"]) == ["default/old", "default/young"])
        #expect(owner(plans) == ["default/young"])
        services["young"] = nil
        _ = update(&plans, services, ["young"])
        #expect(owner(plans) == ["default/third"])
        #expect(plans.diagnostics.isEmpty)
    }

    @Test func `nothing changes when nothing changed`() {
        let services = ["web": service("web", ip: "10.96.0.1", createdAt: 1)]
        var plans = ClusterPlans()
        #expect(update(&plans, services, ["web"]) == ["default/web"])
        #expect(update(&plans, services, ["web"]).isEmpty)
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func `ownership does not depend on the order of events`(seed: UInt64) {
        var random = Seeded(seed)
        var services: [String: Service] = [:]
        var plans = ClusterPlans()
        for _ in 0..<60 {
            let name = "s\(Int.random(in: 0..<6, using: &random))"
            if Int.random(in: 0..<3, using: &random) == 0 {
                services[name] = nil
            } else {
                services[name] = service(
                    name,
                    ip: "10.96.0.\(name.dropFirst())9",
                    createdAt: Int64.random(in: 0..<4, using: &random)
                )
            }
            _ = update(&plans, services, [name])
            var fresh = ClusterPlans()
            _ = update(&fresh, services, services.keys.shuffled(using: &random))
            #expect(plans.plans == fresh.plans)
        }
    }
}
