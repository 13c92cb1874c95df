import KubernetesModel
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

/// What users of other proxies have reported; numbers are Kubernetes' issues unless noted.
@Suite struct ReportedBehaviourTests {
    // #103888, #116098: hints do not count, and nobody says why.
    @Test func `node hints count or not, and each endpoint and the Service say why`() {
        func told(_ nodes: [[String]]) -> (topology: String, endpoints: [String]) {
            let builder = ClusterBuilder().with { builder in
                for (index, nodes) in nodes.enumerated() {
                    let address = "10.0.0.\(index + 1)"
                    builder.add(endpoint(address, zones: ["zone-a"], nodes: nodes))
                }
            }
            let compiler = PlanCompiler(node: builder.node)
            let port = builder.service.ports[0]
            return (
                compiler.topologyReason(port, .ipv4, in: builder.slices),
                compiler.verdicts(port, .ipv4, in: builder.slices).map(\.reason)
            )
        }
        let counting = told([["here"], ["there", "yonder"]])
        #expect(
            counting.topology
                == "node hints count: all ready endpoints have some, and one names this node"
        )
        #expect(counting.endpoints == ["ready", "ready, but hinted to nodes there, yonder"])
        // Without them those for zones are next.
        for nodes in [[["there"], ["yonder"]], [["here"], []]] {
            #expect(told(nodes).topology.hasPrefix("zone hints count"))
            #expect(told(nodes).endpoints == ["ready", "ready"])
        }
    }

    @Test func `node hints that do not count are named, too`() {
        let builder = ClusterBuilder().with {
            $0.add(endpoint("10.0.0.1", nodes: ["there"]), endpoint("10.0.0.2", nodes: ["yonder"]))
        }
        let compiler = PlanCompiler(node: builder.node)
        let port = builder.service.ports[0]
        #expect(
            compiler.topologyReason(port, .ipv4, in: builder.slices)
                == "node hints do not count: none names this node, here"
        )
        let partial = builder.with { $0.slices[0].endpoints[1].place.nodeHints = [] }
        #expect(
            compiler.topologyReason(port, .ipv4, in: partial.slices)
                == "node hints do not count: 1 of 2 ready endpoints have none"
        )
    }

    // cilium#23744, #32815; KEP-1669: connections are reset, or none come, when the last one goes.
    @Test func `the last local endpoint serves while it ends, and load balancers look elsewhere`() {
        let ready = ClusterBuilder().with {
            $0.service.type = .loadBalancer
            $0.service.externalTrafficPolicy = .local
            $0.service.healthCheckNodePort = 32_000
            $0.service.ports[0].nodePort = 30_080
            $0.add(endpoint("10.0.0.1", on: "here"), endpoint("10.0.0.2"))
        }
        #expect(ready.compile().plan?.healthCheck?.localEndpoints == 1)
        let ending = ready.with {
            $0.slices[0].endpoints[0].isReady = false
            $0.slices[0].endpoints[0].isTerminating = true
        }
        #expect(ending.compile().plan?.healthCheck?.localEndpoints == 0)
        #expect(
            ending.lines()[1].contains(
                "pods to [10.0.0.2:8080 (10.0.0.1:8080)] others to [10.0.0.1:8080*]"
            )
        )
        let ended = ending.with { $0.slices[0].endpoints[0].isServing = false }
        #expect(ended.lines()[1].contains("pods to [10.0.0.2:8080] others dropped"))
        #expect(ended.compile().plan?.healthCheck?.localEndpoints == 0)
    }
}
