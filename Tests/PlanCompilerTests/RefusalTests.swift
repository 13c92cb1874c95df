import KubernetesModel
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

/// Tests of requests in a Service that are refused, and of the reports about them.
@Suite struct RefusalTests {
    private let base = ClusterBuilder().with {
        $0.add(endpoint("10.0.0.1", on: "here"), endpoint("10.0.0.2"))
    }

    @Test
    func `external IPs take neither the node's own addresses nor its ports nor the API server`() {
        let service = base.with {
            $0.node.ownAddresses = [ip("192.0.2.1")]
            $0.node.addresses = [ip("192.0.2.1"), ip("192.0.2.2")]
            $0.node.protectedPorts = [22: "ssh"]
            $0.node.apiServers = [FrontendKey(ip("203.0.113.6"), .tcp, 80)]
            $0.service.externalIPs = ["192.0.2.1", "192.0.2.2", "203.0.113.6"].map(ip)
            $0.service.ports.append(ServicePort(name: "ssh", transport: .tcp, port: 22))
            $0.service.ports.append(ServicePort(name: "ssh", transport: .udp, port: 22))
        }
        func external(_ cluster: ClusterBuilder) -> [String] {
            (cluster.compile().plan?.frontends ?? []).filter { $0.kind != .clusterIP }
                .map(\.key.description)
        }
        let kept = [
            "192.0.2.2:22/udp", "192.0.2.2:80/tcp", "203.0.113.6:22/tcp", "203.0.113.6:22/udp",
        ]
        #expect(external(service) == kept)
        let diagnostics = service.compile().diagnostics
        #expect(
            diagnostics.map(\.description) == [
                "Service default/web: spec.externalIPs: 192.0.2.1 is node here's own address, which no"
                    + " Service may take; use a NodePort or a load balancer, or allow it with"
                    + " needletail.nodeAddressesAsExternalIPs",
                "Service default/web: spec.externalIPs: 203.0.113.6:80/tcp is where the API server is"
                    + " reached; no Service is programmed there",
                "Service default/web: spec.externalIPs: 192.0.2.2:22/tcp is port 22 of node here, kept for"
                    + " ssh; choose another port",
            ]
        )
        #expect(diagnostics.allSatisfy { $0.event == .frontendRefused })
        let allowed = service.with { $0.node.allowsNodeAddresses = true }
        #expect(
            Set(external(allowed)).subtracting(kept) == ["192.0.2.1:22/udp", "192.0.2.1:80/tcp"]
        )
        // Load balancers use node addresses for VIPs (servicelb, MetalLB); the ports stay protected.
        let balanced = service.with {
            $0.service.loadBalancerVIPs = $0.service.externalIPs
            $0.service.externalIPs = []
        }
        #expect(external(balanced) == external(allowed))
    }

    @Test func `a NodePort never takes the API server, and its cluster IP is programmed`() {
        let service = base.with {
            $0.service.ports[0].nodePort = 6443
            $0.node.apiServers = [
                FrontendKey(ip("192.0.2.1"), .tcp, 6443), FrontendKey(ip("10.96.0.10"), .tcp, 80),
            ]
        }
        #expect(service.lines() == base.lines())
        #expect(service.compile().diagnostics.map(\.event) == [.frontendRefused])
    }

    @Test func `no Service takes a loopback or link-local address`() {
        let (plan, diagnostics) = base.with {
            $0.service.externalIPs = [ip("127.0.0.1"), ip("169.254.20.10")]
        }.compile()
        #expect(plan?.frontends.count == 1)
        #expect(diagnostics.count == 2)
    }

    @Test func `diagnostics are counted, and the first few told`() {
        let service = base.with {
            $0.service.externalIPs = (0..<40_000).map {
                IPAddress(ipv4: 0xE100_0000 + UInt32($0))
            }
            for index in 0..<60 {
                $0.add(endpoint("10.0.1.\(index)"))
                $0.slices[index + 1].problems = [
                    FieldProblem("endpoints[0].addresses[0]", "x"), .more(999),
                ]
            }
        }
        let told = service.compile().diagnostics.map(\.description)
        #expect(told.count == 22)
        #expect(
            told[10] == "Service default/web: and 39990 more values that cannot be used as written"
        )
        #expect(
            told[21]
                == "EndpointSlices of Service default/web: and 55000 more values that cannot be used"
                + " as written"
        )
    }

    @Test func `more endpoints than have slots are told, with their number`() {
        let service = ClusterBuilder().with {
            $0.add()
            $0.slices[0].endpoints = (0..<Pool.largestSize + 3).map {
                SliceEndpoint(address: IPAddress(ipv4: 0x0A00_0001 + UInt32($0)))
            }
            $0.service.externalIPs = [ip("198.51.100.1")]
        }
        let (plan, diagnostics) = service.compile()
        #expect(plan?.pools.map(\.endpoints.count) == [Pool.largestSize + 3])
        #expect(diagnostics.map(\.event) == [.tooManyEndpoints])
        #expect(
            diagnostics[0].problem.reason.contains("32771 endpoints, of which 3 get no connections")
        )
        #expect(service.with { $0.node.largestPool = nil }.compile().diagnostics.isEmpty)
    }

    @Test func `a NodePort that no address answers on is told`() {
        let service = base.with {
            $0.service.ports[0].nodePort = 30080
            $0.node.nodePortAddresses = []
        }
        #expect(service.compile().diagnostics.map(\.problem.field) == ["spec.ports"])
        #expect(service.lines() == base.lines())
    }

    @Test func `a health check on the Service's own NodePort is not answered, and that is told`() {
        let service = base.with {
            $0.service.type = .loadBalancer
            $0.service.externalTrafficPolicy = .local
            $0.service.healthCheckNodePort = 30080
            $0.service.ports[0].nodePort = 30080
        }
        let (plan, diagnostics) = service.compile()
        #expect(plan?.healthCheck == nil && plan?.frontends.count == 2)
        #expect(diagnostics.map(\.problem.field) == ["spec.healthCheckNodePort"])
        let udp = service.with { $0.service.ports[0].transport = .udp }
        #expect(udp.compile().plan?.healthCheck?.port == 30080)
    }
}
