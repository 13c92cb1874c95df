import KubernetesModel
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

/// Tests of NodePorts on localhost, which a forwarder serves.
@Suite struct ForwardedPortTests {
    private var cluster: ClusterBuilder {
        ClusterBuilder().with {
            $0.service.type = .nodePort
            $0.service.ports = [
                ServicePort(name: "http", transport: .tcp, port: 80, nodePort: 30080),
                ServicePort(name: "sctp", transport: .sctp, port: 81, nodePort: 30081),
            ]
            $0.node.localhostAddresses = [ip("127.0.0.1"), ip("::1")]
            $0.add(
                SliceEndpoint(address: ip("10.244.2.6"), place: EndpointPlace(nodeName: "there")),
                SliceEndpoint(address: ip("10.244.1.5"), place: EndpointPlace(nodeName: "here"))
            )
        }
    }

    private func ports(_ cluster: ClusterBuilder) throws -> [ForwardedPort] {
        try #require(cluster.compile().plan).forwardedPorts
    }

    private let both = [
        Endpoint(ip("10.244.1.5"), 8080, isLocal: true),
        Endpoint(ip("10.244.2.6"), 8080, isLocal: false),
    ]

    @Test func `each port that is not SCTP's is one, in the Service's families`() throws {
        let port = ForwardedPort(
            key: FrontendKey(ip("127.0.0.1"), .tcp, 30080),
            portName: "http",
            endpoints: both
        )
        #expect(try ports(cluster) == [port])
        #expect(
            try ports(
                cluster.with {
                    $0.node.nodePortAddresses = []
                    $0.node.localhostAddresses = [ip("::1")]
                }
            )
            .isEmpty
        )
    }

    @Test func `no traffic policy binds the node itself`() throws {
        for change: @Sendable (inout ClusterBuilder) -> Void in [
            { $0.service.externalTrafficPolicy = .local },
            { $0.service.internalTrafficPolicy = .local },
            {
                $0.service.internalTrafficPolicy = .local
                $0.node.nodePortAddresses = []
            },
        ] {
            #expect(try ports(cluster.with(change)).first?.endpoints == both)
        }
    }

    @Test func `localhost is an address that answers`() throws {
        let alone = cluster.with { $0.node.nodePortAddresses = [] }
        #expect(alone.compile().diagnostics.isEmpty)
        #expect(
            !alone.with { $0.node.localhostAddresses = [] }.compile().diagnostics.isEmpty
        )
    }

    @Test func `the older Service keeps a port that two have`() {
        let input: [ObjectName: ClusterPlans.Input] = Dictionary(
            uniqueKeysWithValues: [("old", 1), ("young", 2)].map { name, time in
                var one = cluster.with { $0.node.nodePortAddresses = [] }
                one.service.clusterIPs = [ip("10.96.0.\(time)")]
                let object = ObjectName(namespace: "default", name: name)
                one.service.name = object
                one.service.createdAt = Int64(time)
                return (object, (one.service, one.slices))
            }
        )
        var plans = ClusterPlans()
        _ = plans.update(input.keys, for: cluster.node) { input[$0] }
        let counts = plans.plans.map { (ObjectName($0.service).name, $0.forwardedPorts.count) }
        #expect(Dictionary(uniqueKeysWithValues: counts) == ["old": 1, "young": 0])
    }
}
