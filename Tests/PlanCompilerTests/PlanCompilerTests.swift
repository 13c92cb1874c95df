import KubernetesModel
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

/// Tests that pin kube-proxy's behaviour; each cites its source, below `pkg/proxy` unless noted.
@Suite struct PlanCompilerTests {
    private let base = ClusterBuilder().with {
        $0.add(endpoint("10.0.0.1", on: "here"), endpoint("10.0.0.2"))
    }

    @Test func `a cluster IP balances over ready endpoints`() {
        #expect(
            base.lines() == [
                "10.96.0.10:80/tcp ClusterIP port=http to [10.0.0.1:8080* 10.0.0.2:8080] masquerade=non-pods"
            ]
        )
    }

    @Test func `headless, ExternalName and other proxies' Services are left alone`() {
        #expect(base.with { $0.service.clusterIPs = [] }.compile().plan == nil)
        #expect(base.with { $0.service.type = .externalName }.compile().plan == nil)
        #expect(base.with { $0.service.belongsToOtherProxy = true }.compile().plan == nil)
    }

    @Test func `no endpoint at all rejects`() {
        let lines = ClusterBuilder().with { $0.add(endpoint("10.0.0.1", ready: false)) }.lines()
        #expect(lines == ["10.96.0.10:80/tcp ClusterIP port=http reject masquerade=non-pods"])
    }

    // topology.go: CategorizeEndpoints; KEP-1669
    @Test func `terminating endpoints that serve are used only if none is ready`() {
        let both = ClusterBuilder().with {
            $0.add(
                endpoint("10.0.0.1"),
                endpoint("10.0.0.2", ready: false, serving: true, terminating: true)
            )
        }
        #expect(both.lines()[0].contains("to [10.0.0.1:8080 (10.0.0.2:8080)]"))
        let last = ClusterBuilder().with {
            $0.add(
                endpoint("10.0.0.2", ready: false, serving: true, terminating: true),
                endpoint("10.0.0.3", ready: false, serving: false, terminating: true)
            )
        }
        #expect(last.lines()[0].contains("to [10.0.0.2:8080]"))
    }

    // serviceport.go: InternalPolicyLocal
    @Test func `internal policy Local uses local endpoints and drops without`() {
        let local = base.with { $0.service.internalTrafficPolicy = .local }
        #expect(local.lines()[0].contains("to [10.0.0.1:8080*]"))
        let remote = ClusterBuilder().with {
            $0.service.internalTrafficPolicy = .local
            $0.add(endpoint("10.0.0.2"))
        }
        #expect(remote.lines()[0].contains("port=http drop"))
        let empty = ClusterBuilder().with { $0.service.internalTrafficPolicy = .local }
        #expect(empty.lines()[0].contains("port=http reject"))
    }

    // nftables/proxier.go: external traffic, short-circuit for pods and node
    @Test func `external policy Local splits pods from others`() {
        let service = base.with {
            $0.service.type = .loadBalancer
            $0.service.externalTrafficPolicy = .local
            $0.service.ports[0].nodePort = 30080
            $0.service.loadBalancerVIPs = [ip("203.0.113.1")]
        }
        #expect(
            service.lines() == [
                "10.96.0.10:80/tcp ClusterIP port=http to [10.0.0.1:8080* 10.0.0.2:8080] masquerade=non-pods",
                "192.0.2.1:30080/tcp NodePort port=http pods to [10.0.0.1:8080* 10.0.0.2:8080] others to [10.0.0.1:8080*] masquerade=node",
                "203.0.113.1:80/tcp LoadBalancer port=http pods to [10.0.0.1:8080* 10.0.0.2:8080] others to [10.0.0.1:8080*] masquerade=node",
            ]
        )
        let remote = service.with { $0.slices[0].endpoints.removeFirst() }
        #expect(remote.lines()[1].contains("pods to [10.0.0.2:8080] others dropped"))
    }

    // pkg/api/v1/service/util.go: ExternallyAccessible
    @Test func `external policy means nothing to a plain cluster IP`() {
        let service = base.with { $0.service.externalTrafficPolicy = .local }
        #expect(service.lines() == base.lines())
    }

    @Test func `external frontends of policy Cluster masquerade everyone`() {
        let service = base.with { $0.service.externalIPs = [ip("198.51.100.1")] }
        #expect(service.lines().last?.hasSuffix("masquerade=everyone") == true)
        let all = base.with { $0.node.masqueradesAll = true }
        #expect(all.lines()[0].hasSuffix("masquerade=everyone"))
    }

    // KEP-5707
    @Test func `without the gate external IPs are left out, and that is told`() {
        let service = base.with {
            $0.service.externalIPs = [ip("198.51.100.1")]
            $0.node.allowsExternalIPs = false
        }
        #expect(service.lines() == base.lines())
        #expect(
            service.compile().diagnostics.map(\.description) == [
                "Service default/web: spec.externalIPs: left out, since feature gate"
                    + " AllowServiceExternalIPs is off"
            ]
        )
    }

    // healthcheck/service_health.go: ready endpoints on this node, each address once
    @Test func `a health check counts ready local endpoints`() {
        let service = ClusterBuilder().with {
            $0.service.type = .loadBalancer
            $0.service.externalTrafficPolicy = .local
            $0.service.healthCheckNodePort = 32000
            $0.add(endpoint("10.0.0.1", on: "here"), endpoint("10.0.0.2"))
            $0.add(endpoint("10.0.0.1", on: "here"), endpoint("10.0.0.3", on: "here", ready: false))
        }
        #expect(service.compile().plan?.healthCheck == HealthCheck(port: 32000, localEndpoints: 1))
        let cluster = service.with { $0.service.externalTrafficPolicy = .cluster }
        #expect(cluster.compile().plan?.healthCheck == nil)
    }

    // endpointslicecache.go: by port name and protocol, deduplicated, favouring local
    @Test func `endpoints come from all slices once`() {
        let service = ClusterBuilder().with {
            $0.add(
                endpoint("10.0.0.1", on: nil),
                endpoint("10.0.0.2", ready: false, terminating: true)
            )
            $0.add(endpoint("10.0.0.1", on: "here"), endpoint("10.0.0.2"))
            $0.add(endpoint("10.0.0.3"), port: 9090)
            $0.add(endpoint("10.0.0.4"), portName: "other")
            $0.add(endpoint("10.0.0.5"), transport: .udp)
            $0.add(endpoint("fd00::1"), family: .ipv6)
        }
        #expect(service.lines()[0].contains("to [10.0.0.1:8080* 10.0.0.2:8080 10.0.0.3:9090]"))
    }

    // endpointslicecache.go; an address may pass to another pod while slices still list the old one
    @Test func `of two pods with one address the one that does not terminate decides`() {
        let service = ClusterBuilder().with {
            $0.service.type = .loadBalancer
            $0.service.externalTrafficPolicy = .local
            $0.service.healthCheckNodePort = 32000
            $0.service.ports[0].nodePort = 30080
            $0.add(
                endpoint("10.0.0.1", on: "here", ready: false, terminating: true),
                endpoint("10.0.0.1", on: "there")
            )
        }
        #expect(service.lines()[1].contains("pods to [10.0.0.1:8080] others dropped"))
        #expect(service.compile().plan?.healthCheck?.localEndpoints == 0)
        let reversed = service.with { $0.slices[0].endpoints.reverse() }
        #expect(reversed.compile().plan == service.compile().plan)
        let notReady = ClusterBuilder().with {
            $0.add(endpoint("10.0.0.1", ready: false, terminating: true))
            $0.add(endpoint("10.0.0.1", ready: false))
        }
        #expect(notReady.lines()[0].contains("reject"))
        let moved = service.with { $0.slices[0].endpoints[1].place.nodeName = "here" }
        #expect(moved.compile().plan?.healthCheck?.localEndpoints == 1)
    }

    // kube-proxy puts a VIP with source ranges into its map firewall-ips, whatever else the address
    // is.
    @Test func `an address that is a VIP and something else keeps the VIP's source ranges`() {
        let service = base.with {
            $0.service.type = .loadBalancer
            $0.service.loadBalancerVIPs = [ip("198.51.100.7")]
            $0.service.loadBalancerSourceRanges = [prefix("203.0.113.0/24")]
        }
        let twice = service.with {
            $0.service.externalIPs = [ip("198.51.100.7"), ip("198.51.100.8")]
        }
        #expect(twice.lines()[1] == service.lines()[1])
        #expect(twice.lines()[2].contains("198.51.100.8:80/tcp ExternalIP"))
        #expect(!twice.lines()[2].contains("from="))
        #expect(twice.compile().diagnostics.isEmpty)
        let cluster = service.with { $0.service.loadBalancerVIPs = [ip("10.96.0.10")] }
        #expect(cluster.lines().count == 1)
        #expect(cluster.lines()[0].contains("ClusterIP"))
        #expect(cluster.lines()[0].hasSuffix("masquerade=non-pods from=[203.0.113.0/24]"))
        #expect(
            cluster.compile().diagnostics.map(\.description) == [
                "Service default/web: status.loadBalancer.ingress: 10.96.0.10:80/tcp is a frontend as"
                    + " ClusterIP and as LoadBalancer; it is programmed as ClusterIP, with the traffic"
                    + " policy of that"
            ]
        )
        let node = service.with {
            $0.service.loadBalancerVIPs = [ip("192.0.2.1")]
            $0.service.ports[0].nodePort = 80
        }
        #expect(node.lines()[1].contains("NodePort"))
        #expect(node.lines()[1].hasSuffix("from=[203.0.113.0/24]"))
    }

    @Test func `one key of two ports leads to the endpoints of one, and that is told`() {
        let service = base.with {
            $0.service.externalIPs = [ip("192.0.2.1")]
            $0.service.ports.append(
                ServicePort(name: "other", transport: .tcp, port: 81, nodePort: 80)
            )
        }
        #expect(service.lines()[2].hasPrefix("192.0.2.1:80/tcp NodePort port=other reject"))
        #expect(
            service.compile().diagnostics.map(\.problem.reason) == [
                "192.0.2.1:80/tcp is asked for by ports \"other\" and \"http\"; it leads to the"
                    + " endpoints of \"other\""
            ]
        )
    }

    @Test func `each family has its own endpoints`() {
        let service = base.with {
            $0.service.clusterIPs.append(ip("fd96::10"))
            $0.add(endpoint("fd00::1"), family: .ipv6)
        }
        #expect(
            service.lines().last
                == "[fd96::10]:80/tcp ClusterIP port=http to [[fd00::1]:8080] masquerade=non-pods"
        )
    }

    // topology.go: topologyModeFromHints
    @Test func `hints count if every ready endpoint has some and one is for us`() {
        let hinted = { (zones: [[String]], nodes: [[String]]) in
            ClusterBuilder().with {
                $0.add(
                    endpoint("10.0.0.1", zones: zones[0], nodes: nodes[0]),
                    endpoint("10.0.0.2", zones: zones[1], nodes: nodes[1])
                )
            }.lines()[0]
        }
        let none: [[String]] = [[], []]
        #expect(hinted([["zone-a"], ["zone-b"]], none).contains("to [10.0.0.1:8080]"))
        #expect(hinted([["zone-a"], []], none).contains("to [10.0.0.1:8080 10.0.0.2:8080]"))
        #expect(
            hinted([["zone-c"], ["zone-b"]], none).contains("to [10.0.0.1:8080 10.0.0.2:8080]")
        )
        #expect(
            hinted([["zone-a"], ["zone-b"]], [["there"], ["here"]]).contains("to [10.0.0.2:8080]")
        )
        #expect(
            hinted([["zone-a"], ["zone-b"]], [["there"], ["there"]]).contains("to [10.0.0.1:8080]")
        )
    }

    @Test func `an unready endpoint's missing hint does not count`() {
        let service = ClusterBuilder().with {
            $0.add(
                endpoint("10.0.0.1", zones: ["zone-a"]),
                endpoint("10.0.0.2", zones: ["zone-b"]),
                endpoint("10.0.0.3", ready: false)
            )
        }
        #expect(service.lines()[0].contains("to [10.0.0.1:8080]"))
    }

    // nftables/proxier.go: loadBalancerSourceRanges, allowFromNode
    @Test(arguments: [
        (["203.0.113.0/24", "203.0.113.0/25"], "from=[203.0.113.0/24]"),
        (["192.0.2.0/24"], "from=[192.0.2.0/24 198.51.100.7/32]"),
        (["fd00::/8"], ""), (["0.0.0.0/0"], ""),
    ])
    func `source ranges restrict the load balancer's VIP`(ranges: [String], expected: String) {
        let service = base.with {
            $0.service.type = .loadBalancer
            $0.service.loadBalancerVIPs = [ip("198.51.100.7")]
            $0.service.loadBalancerSourceRanges = ranges.map(prefix)
        }
        let text = service.lines().last ?? ""
        #expect(expected.isEmpty ? !text.contains("from=") : text.hasSuffix(expected), "\(text)")
    }

    @Test func `ranges of which none can be read admit nobody`() {
        let service = base.with {
            $0.service.loadBalancerVIPs = [ip("198.51.100.7")]
            $0.service.loadBalancerSourceRanges = []
        }
        #expect(service.lines().last?.hasSuffix("from=[]") == true)
    }

    @Test func `what is wrong with an object is told with its name`() {
        let diagnostics = base.with {
            $0.service.problems = [FieldProblem("spec.ports[0].port", "0 is no port")]
        }
        .compile().diagnostics
        #expect(
            diagnostics.map(\.description) == [
                "Service default/web: spec.ports[0].port: 0 is no port"
            ]
        )
    }

    @Test func `compiling is deterministic and the order of slices does not matter`() {
        let service = base.with { $0.add(endpoint("10.0.0.9"), endpoint("10.0.0.3")) }
        let reversed = service.with { $0.slices.reverse() }
        #expect(service.compile().plan == reversed.compile().plan)
    }
}
