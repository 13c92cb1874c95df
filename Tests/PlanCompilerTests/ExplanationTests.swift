import KubernetesModel
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

@Suite struct ExplanationTests {
    private func verdicts(_ cluster: ClusterBuilder) -> [String] {
        PlanCompiler(node: cluster.node)
            .verdicts(cluster.service.ports[0], .ipv4, in: cluster.slices)
            .map { "\($0.servesCluster ? "+" : "-")\($0.servesLocal ? "+" : "-") \($0.reason)" }
    }

    private func topology(_ cluster: ClusterBuilder) -> String {
        PlanCompiler(node: cluster.node)
            .topologyReason(cluster.service.ports[0], .ipv4, in: cluster.slices)
    }

    @Test func `each endpoint is in or out for a reason`() {
        let service = ClusterBuilder().with {
            $0.add(
                endpoint("10.0.0.1", on: "here"),
                endpoint("10.0.0.2"),
                endpoint("10.0.0.3", ready: false),
                endpoint("10.0.0.4", ready: false, serving: true, terminating: true)
            )
        }
        #expect(
            verdicts(service) == [
                "++ ready", "+- ready", "-- not ready",
                "-- terminating: it keeps its connections and gets no new ones",
            ]
        )
        let last = ClusterBuilder().with {
            $0.add(endpoint("10.0.0.4", ready: false, serving: true, terminating: true))
        }
        #expect(
            verdicts(last) == ["+- terminating, but it still serves, and no endpoint is ready"]
        )
    }

    @Test func `a port without endpoints has none for a reason`() {
        let reason = { (cluster: ClusterBuilder) in
            PlanCompiler(node: cluster.node)
                .absenceReason(cluster.service.ports[0], .ipv4, in: cluster.slices)
        }
        #expect(reason(ClusterBuilder()).hasPrefix("the Service has no IPv4 endpoint anywhere"))
        let misnamed = ClusterBuilder().with { $0.add(endpoint("10.0.0.1"), portName: "web") }
        #expect(
            reason(misnamed).hasPrefix(
                "the Service has 1 endpoints, but none has a tcp port named \"http\" (they have"
                    + " \"web\"/tcp)"
            )
        )
        let unready = ClusterBuilder().with { $0.add(endpoint("10.0.0.1", ready: false)) }
        #expect(reason(unready).hasPrefix("no endpoint is ready, of 1 that have the port"))
    }

    @Test func `hints count, or not, for a reason`() {
        func hinted(_ zones: [String]...) -> ClusterBuilder {
            ClusterBuilder().with { builder in
                for (index, zones) in zones.enumerated() {
                    var one = endpoint("10.0.0.\(index + 1)")
                    one.place.zoneHints = zones
                    builder.add(one)
                }
            }
        }
        let counting = hinted(["zone-a"], ["zone-b"])
        #expect(verdicts(counting) == ["+- ready", "-- ready, but hinted to zones zone-b"])
        #expect(topology(counting).contains("one names zone zone-a"))
        #expect(topology(hinted(["zone-a"], [])).contains("1 of 2 ready endpoints have none"))
        #expect(topology(hinted(["zone-b"])).contains("none names this node's zone, zone-a"))
        #expect(topology(counting.with { $0.node.zone = nil }).contains("this node has no zone"))
        #expect(topology(hinted([])) == "no ready endpoint has zone hints or node hints")
    }

    @Test func `a connection's way is told for each kind of client`() throws {
        let service = ClusterBuilder().with {
            $0.add(endpoint("10.0.0.1"))
            $0.service.type = .loadBalancer
            $0.service.externalTrafficPolicy = .local
            $0.service.loadBalancerVIPs = [ip("203.0.113.1")]
            $0.service.loadBalancerSourceRanges = [prefix("192.0.2.0/24")]
        }
        let plan = try #require(service.compile().plan)
        func flow(
            _ kind: Frontend.Kind,
            _ client: FlowExplanation.Client,
            from sources: [String] = ["192.0.2.7/32"],
            canTellPods: Bool = true
        ) throws -> FlowExplanation {
            FlowExplanation(
                try #require(plan.frontends.first { $0.kind == kind }),
                of: plan,
                from: client,
                sources: sources.map(prefix),
                canTellPods: canTellPods,
                absence: "none"
            )
        }
        #expect(try flow(.clusterIP, .pod).outcome == .balanced)
        #expect(try !flow(.clusterIP, .pod).isMasqueraded)
        #expect(try flow(.clusterIP, .outside).isMasqueraded)
        #expect(try !flow(.clusterIP, .outside, canTellPods: false).isMasqueraded)
        #expect(try flow(.loadBalancerVIP, .outside).outcome == .dropped)
        #expect(try flow(.loadBalancerVIP, .pod).endpoints.map(\.description) == ["10.0.0.1:8080"])
        #expect(try flow(.loadBalancerVIP, .node).isMasqueraded)
        let stranger = try flow(.loadBalancerVIP, .pod, from: ["198.51.100.1/32"])
        #expect(stranger.outcome == .dropped)
        #expect(
            stranger.why == "198.51.100.1 is in none of the Service's loadBalancerSourceRanges"
        )
        // The sources of pods are a block; those of clients outside are unknown.
        #expect(
            try flow(.loadBalancerVIP, .pod, from: ["192.0.2.64/26"]).why.hasSuffix("and this node")
        )
        #expect(try flow(.loadBalancerVIP, .pod, from: ["10.0.0.0/8"]).outcome == .dropped)
        for sources in [[], ["192.0.0.0/16"], ["10.0.0.0/8", "192.0.2.7/32"]] {
            let unknown = try flow(.loadBalancerVIP, .pod, from: sources)
            #expect(unknown.outcome == .balanced && unknown.why.hasSuffix("and dropped otherwise"))
        }
    }
}
