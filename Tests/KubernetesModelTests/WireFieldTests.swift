import KubernetesModel
import NetworkTypes
import TestSupport
import Testing

private typealias P = ProtobufBytes

/// A field in both encodings; both must mean the same, and something.
struct WireCase: Sendable, CustomTestStringConvertible {
    let json: String
    let bytes: [UInt8]

    init(_ json: String, _ bytes: [UInt8]) { (self.json, self.bytes) = (json, bytes) }

    var testDescription: String { json }
}

@Suite struct WireFieldTests {
    private static let metadata = P.field(1, "web") + P.field(3, "shop")

    // k8s.io/api/core/v1/generated.proto: ServiceSpec, ServicePort; a text, a list, a number each.
    private static let serviceSpec: [WireCase] = [
        WireCase(#""ports": [{"port": 80}]"#, P.field(1, P.field(3, 80))),
        WireCase(
            #""ports": [{"name": "dns", "protocol": "UDP", "port": 53, "nodePort": 30053}]"#,
            P.field(
                1,
                P.field(1, "dns") + P.field(2, "UDP") + P.field(3, 53) + P.field(5, 30_053)
            )
        ),
        WireCase(
            #""ports": [{"port": 80}, {"port": 81}]"#,
            P.field(1, P.field(3, 80)) + P.field(1, P.field(3, 81))
        ),
        WireCase(#""ports": [{"port": -1}]"#, P.field(1, P.field(3, -1))),
        WireCase(#""clusterIP": "10.96.0.1""#, P.field(3, "10.96.0.1")),
        WireCase(#""type": "LoadBalancer""#, P.field(4, "LoadBalancer")),
        WireCase(#""externalIPs": ["203.0.113.1"]"#, P.field(5, "203.0.113.1")),
        WireCase(#""sessionAffinity": "ClientIP""#, P.field(7, "ClientIP")),
        WireCase(
            #""sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}"#,
            P.field(7, "ClientIP") + P.field(14, P.field(1, P.field(1, 60)))
        ),
        WireCase(#""loadBalancerSourceRanges": ["10.0.0.0/8"]"#, P.field(9, "10.0.0.0/8")),
        WireCase(#""externalTrafficPolicy": "Local""#, P.field(11, "Local")),
        WireCase(#""healthCheckNodePort": 32000"#, P.field(12, 32_000)),
        WireCase(
            #""clusterIPs": ["10.96.0.1", "fd00::1"]"#,
            P.field(18, "10.96.0.1") + P.field(18, "fd00::1")
        ),
        WireCase(#""internalTrafficPolicy": "Local""#, P.field(22, "Local")),
    ]

    @Test(arguments: serviceSpec)
    func `a field of a Service's spec`(field: WireCase) throws {
        let json = try readJSON(
            Service.self,
            #"{"metadata": {"name": "web", "namespace": "shop"}, "spec": {\#(field.json)}}"#
        )
        let metadata = P.field(1, Self.metadata)
        let bytes = try P.read(Service.self, metadata + P.field(2, field.bytes))
        #expect(json == bytes)
        #expect(bytes != Service(name: ObjectName(namespace: "shop", name: "web")))
        // Fields that nobody reads, before and behind it: selector, targetPort's kind of message.
        let strange = P.entry(2, "app", "web") + P.field(1000, [1, 2, 3]) + P.field(99, 7)
        let among = try P.read(
            Service.self,
            metadata + P.field(2, strange + field.bytes + strange)
        )
        #expect(among == bytes)
    }

    // k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto: ObjectMeta, Time.
    private static let serviceMetadata: [WireCase] = [
        WireCase(
            #""creationTimestamp": "2026-11-21T07:50:58Z""#,
            P.field(8, P.field(1, 1_795_247_458))
        ),
        WireCase(
            #""labels": {"service.kubernetes.io/service-proxy-name": ""}"#,
            P.entry(11, "service.kubernetes.io/service-proxy-name", "")
        ),
        WireCase(
            #""annotations": {"ipvs.needletail.io/scheduler": "mh"}"#,
            P.entry(12, "ipvs.needletail.io/scheduler", "mh")
        ),
        WireCase(
            #""annotations": {"a": "b", "ipvs.needletail.io/weights": "10.0.0.1=3,node-a=0"}"#,
            P.entry(12, "a", "b")
                + P.entry(12, "ipvs.needletail.io/weights", "10.0.0.1=3,node-a=0")
        ),
    ]

    @Test(arguments: serviceMetadata)
    func `a field of a Service's metadata`(field: WireCase) throws {
        let json = try readJSON(
            Service.self,
            #"{"metadata": {"name": "web", "namespace": "shop", \#(field.json)}}"#
        )
        let bytes = try P.read(Service.self, P.field(1, Self.metadata + field.bytes))
        #expect(json == bytes)
        #expect(bytes != Service(name: ObjectName(namespace: "shop", name: "web")))
    }

    // ServiceStatus, LoadBalancerStatus, LoadBalancerIngress: ip 1, hostname 2, ipMode 3.
    @Test func `addresses of a load balancer, but for those that are no VIP`() throws {
        let ingress = { (ip: String, mode: String) in
            P.field(1, (ip.isEmpty ? P.field(2, "host") : P.field(1, ip)) + P.field(3, mode))
        }
        let bytes = try P.read(
            Service.self,
            P.field(1, Self.metadata)
                + P.field(
                    3,
                    P.field(
                        1,
                        ingress("198.51.100.1", "VIP") + ingress("198.51.100.2", "Proxy")
                            + ingress("", "") + ingress("198.51.100.3", "")
                    )
                )
        )
        #expect(bytes.loadBalancerVIPs == [ip("198.51.100.1"), ip("198.51.100.3")])
        let json = try readJSON(
            Service.self,
            """
            {"metadata": {"name": "web", "namespace": "shop"}, "status": {"loadBalancer": {"ingress": [
              {"ip": "198.51.100.1", "ipMode": "VIP"}, {"ip": "198.51.100.2", "ipMode": "Proxy"},
              {"hostname": "host"}, {"ip": "198.51.100.3"}]}}}
            """
        )
        #expect(json == bytes)
    }

    // k8s.io/api/discovery/v1/generated.proto: Endpoint, EndpointConditions, EndpointHints.
    private static let endpoint: [WireCase] = [
        WireCase(#""conditions": {"ready": false}"#, P.field(2, P.field(1, 0))),
        WireCase(#""conditions": {"serving": false}"#, P.field(2, P.field(2, 0))),
        WireCase(#""conditions": {"terminating": true}"#, P.field(2, P.field(3, 1))),
        WireCase(#""nodeName": "node-a""#, P.field(6, "node-a")),
        WireCase(#""zone": "zone-a""#, P.field(7, "zone-a")),
        WireCase(
            #""hints": {"forZones": [{"name": "a"}, {"name": "b"}]}"#,
            P.field(8, P.field(1, P.field(1, "a")) + P.field(1, P.field(1, "b")))
        ),
        WireCase(
            #""hints": {"forNodes": [{"name": "node-a"}]}"#,
            P.field(8, P.field(2, P.field(1, "node-a")))
        ),
    ]

    @Test(arguments: endpoint)
    func `a field of an endpoint`(field: WireCase) throws {
        let json = try readJSON(
            EndpointSlice.self,
            """
            {"metadata": {"name": "web", "namespace": "shop"}, "addressType": "IPv6",
             "endpoints": [{"addresses": ["fd00::1", "fd00::2"], \(field.json)}]}
            """
        )
        let addresses = P.field(1, "fd00::1") + P.field(1, "fd00::2")
        let bytes = try P.read(
            EndpointSlice.self,
            P.field(1, Self.metadata) + P.field(2, addresses + field.bytes) + P.field(4, "IPv6")
        )
        #expect(json == bytes)
        // The API says that a proxy ignores all addresses but the first.
        #expect(bytes.endpoints.map(\.address) == [ip("fd00::1")])
        #expect(bytes.endpoints != [SliceEndpoint(address: ip("fd00::1"))])
    }

    @Test func `ports, owner and time of an EndpointSlice`() throws {
        let json = try readJSON(
            EndpointSlice.self,
            """
            {"metadata": {"name": "web", "namespace": "shop",
              "labels": {"kubernetes.io/service-name": "web"},
              "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "1970-01-02T00:00:01Z"}},
             "addressType": "IPv4",
             "ports": [{"name": "http", "protocol": "SCTP", "port": 9}, {"name": "all"}]}
            """
        )
        let bytes = try P.read(
            EndpointSlice.self,
            P.field(
                1,
                Self.metadata + P.entry(11, "kubernetes.io/service-name", "web")
                    + P.entry(
                        12,
                        "endpoints.kubernetes.io/last-change-trigger-time",
                        "1970-01-02T00:00:01Z"
                    )
            )
                + P.field(3, P.field(1, "http") + P.field(2, "SCTP") + P.field(3, 9))
                + P.field(3, P.field(1, "all")) + P.field(4, "IPv4")
        )
        #expect(json == bytes)
        #expect(bytes.service == ObjectName(namespace: "shop", name: "web"))
        #expect(bytes.changedAt == 86_401_000)
        #expect(bytes.ports == [EndpointPort(name: "http", transport: .sctp, port: 9)])
    }

    // core/v1 EndpointSubset: addresses 1, notReadyAddresses 2, ports 3; EndpointPort: name 1,
    // port 2, protocol 3; EndpointAddress: ip 1, nodeName 4.
    @Test func `Endpoints become slices, one for each subset and family`() throws {
        let json = try readJSON(
            Endpoints.self,
            """
            {"metadata": {"name": "web", "namespace": "shop"}, "subsets": [
              {"addresses": [{"ip": "10.0.0.1", "nodeName": "node-a"}, {"ip": "fd00::1"}],
               "notReadyAddresses": [{"ip": "10.0.0.2"}],
               "ports": [{"name": "dns", "protocol": "UDP", "port": 53}]}]}
            """
        )
        let subset =
            P.field(1, P.field(1, "10.0.0.1") + P.field(4, "node-a"))
            + P.field(1, P.field(1, "fd00::1")) + P.field(2, P.field(1, "10.0.0.2"))
            + P.field(3, P.field(1, "dns") + P.field(2, 53) + P.field(3, "UDP"))
        let bytes = try P.read(Endpoints.self, P.field(1, Self.metadata) + P.field(2, subset))
        #expect(json == bytes)
        #expect(bytes.slices.map(\.family) == [.ipv4, .ipv6])
        for slice in bytes.slices {
            #expect(slice.ports == [EndpointPort(name: "dns", transport: .udp, port: 53)])
            #expect(slice.service == ObjectName(namespace: "shop", name: "web"))
        }
        #expect(bytes.slices[0].endpoints.map(\.isReady) == [true, false])
        #expect(bytes.slices[0].endpoints.map(\.place.nodeName) == ["node-a", nil])
    }

    // NodeSpec: podCIDR 1, taints 5, podCIDRs 7; NodeStatus: addresses 5.
    @Test func `a Node's blocks, addresses and departure`() throws {
        let json = try readJSON(
            Node.self,
            """
            {"metadata": {"name": "node-a", "labels": {"topology.kubernetes.io/zone": "z"}},
             "spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd00:1::/64"],
               "taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]},
             "status": {"addresses": [{"type": "ExternalIP", "address": "203.0.113.1"},
               {"type": "InternalIP", "address": "192.0.2.1"}, {"type": "Hostname", "address": "a"}]}}
            """
        )
        let addresses = [
            ("ExternalIP", "203.0.113.1"), ("InternalIP", "192.0.2.1"), ("Hostname", "a"),
        ].flatMap { P.field(5, P.field(1, $0) + P.field(2, $1)) }
        let bytes = try P.read(
            Node.self,
            P.field(1, P.field(1, "node-a") + P.entry(11, "topology.kubernetes.io/zone", "z"))
                + P.field(
                    2,
                    P.field(1, "10.1.0.0/24")
                        + P.field(5, P.field(1, "ToBeDeletedByClusterAutoscaler"))
                        + P.field(7, "10.1.0.0/24") + P.field(7, "fd00:1::/64")
                ) + P.field(3, addresses)
        )
        #expect(json == bytes)
        #expect(bytes.zone == "z" && bytes.isLeaving && bytes.problems.isEmpty)
        #expect(bytes.podCIDRs == [prefix("10.1.0.0/24"), prefix("fd00:1::/64")])
        // InternalIP comes before ExternalIP, as kubelet's addresses do for others.
        #expect(bytes.addresses == [ip("192.0.2.1"), ip("203.0.113.1")])
    }

    @Test func `a Node that is being deleted leaves, and an older one has one block`() throws {
        let deleted = P.field(1, P.field(1, "a") + P.field(9, P.field(1, 1_795_247_458)))
        #expect(try P.read(Node.self, deleted).isLeaving)
        let older = P.field(1, P.field(1, "a")) + P.field(2, P.field(1, "10.1.0.0/24"))
        let node = try P.read(Node.self, older)
        #expect(!node.isLeaving && node.podCIDRs == [prefix("10.1.0.0/24")])
    }

    @Test func `blocks of a ServiceCIDR`() throws {
        let json = try readJSON(
            ServiceCIDR.self,
            #"{"metadata": {"name": "k"}, "spec": {"cidrs": ["10.96.0.0/12", "x"]}}"#
        )
        let bytes = try P.read(
            ServiceCIDR.self,
            P.field(1, P.field(1, "k")) + P.field(2, P.field(1, "10.96.0.0/12") + P.field(1, "x"))
        )
        #expect(json == bytes && bytes.cidrs == [prefix("10.96.0.0/12")])
        #expect(bytes.problems.map(\.field) == ["spec.cidrs[1]"])
    }
}
