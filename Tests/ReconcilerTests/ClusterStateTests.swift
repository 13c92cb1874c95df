import KubernetesModel
import NetworkTypes
import PlanCompiler
import Reconciler
import ServicePlan
import Synchronization
import TestSupport
import Testing

@Suite struct ClusterStateTests {
    private let web = ObjectName(namespace: "default", name: "web")

    private func slice(_ name: String, of service: String, _ address: String = "10.0.0.1")
        -> EndpointSlice
    {
        var slice = EndpointSlice(
            name: ObjectName(namespace: "default", name: name),
            service: ObjectName(namespace: "default", name: service),
            family: .ipv4
        )
        slice.endpoints = [endpoint(address)]
        return slice
    }

    @Test func `an equal object changes nothing`() {
        var state = ClusterState(nodeName: "here")
        state.set(ClusterBuilder().service)
        state.set(slice("web-1", of: "web"))
        #expect(state.takeChanges().services == [web])
        state.set(ClusterBuilder().service)
        state.set(slice("web-1", of: "web"))
        #expect(!state.hasChanges)
    }

    @Test func `a slice that changes hands touches both Services`() {
        var state = ClusterState(nodeName: "here")
        state.set(slice("s", of: "web"))
        _ = state.takeChanges()
        state.set(slice("s", of: "api"))
        #expect(Set(state.takeChanges().services.map(\.name)) == ["web", "api"])
        state.set(ClusterBuilder().service)
        #expect(state.input(web)?.slices.isEmpty == true)
    }

    @Test func `a new list removes what is not in it and touches only what differs`() {
        var state = ClusterState(nodeName: "here")
        state.replaceServices([
            ClusterBuilder().service, ClusterBuilder("api", clusterIP: "10.96.0.11").service,
        ])
        _ = state.takeChanges()
        state.replaceServices([ClusterBuilder().service])
        #expect(state.takeChanges().services.map(\.name) == ["api"])
    }

    @Test func `only this node's Node counts`() {
        var state = ClusterState(nodeName: "here")
        state.set(Node(name: "there"))
        #expect(state.node == nil && !state.hasChanges)
        state.set(Node(name: "here"))
        #expect(state.takeChanges().node)
    }
}

@Suite struct ClusterTests {
    @Test func `a list removes nothing that may be what it could not show`() {
        var state = ClusterState(nodeName: "here")
        for (namespace, name) in [("a", "one"), ("a", "two"), ("b", "one")] {
            state.set(Service(name: ObjectName(namespace: namespace, name: name)))
        }
        var unreadable = UnreadableObjects()
        unreadable.insert(namespace: "a", name: nil)
        state.replaceServices([], keeping: unreadable)
        #expect(state.serviceNames.map(\.description).sorted() == ["a/one", "a/two"])
        unreadable = UnreadableObjects()
        unreadable.insert(namespace: "a", name: "two")
        state.replaceServices([], keeping: unreadable)
        #expect(state.serviceNames.map(\.description) == ["a/two"])
        unreadable.insert(namespace: nil, name: nil)
        state.replaceServices([], keeping: unreadable)
        #expect(state.serviceCount == 1)
    }

    @Test func `a change of the node's zone compiles every Service again`() {
        var cluster = Cluster(NodeConfiguration(nodeName: "here"))
        var slice = EndpointSlice(
            name: ObjectName(namespace: "default", name: "s"),
            service: ObjectName(namespace: "default", name: "web"),
            family: .ipv4
        )
        slice.ports = [EndpointPort(name: "http", transport: .tcp, port: 80)]
        slice.endpoints = [endpoint("10.0.0.1", zones: ["a"]), endpoint("10.0.0.2", zones: ["b"])]
        let endpoints = slice
        cluster.state.set(ClusterBuilder().service)
        cluster.state.set(endpoints)
        #expect(
            cluster.compile(interfaceAddresses: []).changes.first?.new?.pools[0].endpoints
                .count == 2
        )
        var node = Node(name: "here")
        node.zone = "b"
        let zoned = node
        cluster.state.set(zoned)
        #expect(
            cluster.compile(interfaceAddresses: []).changes.first?.new?.pools[0].endpoints
                .count == 1
        )
    }

    @Test func `what is wrong with the Node and with ServiceCIDRs is told`() {
        var cluster = Cluster(NodeConfiguration(nodeName: "here"))
        var node = Node(name: "here")
        node.problems = [FieldProblem("spec.podCIDRs[0]", "is no block")]
        cluster.state.set(node)
        var cidr = ServiceCIDR(name: "kubernetes")
        cidr.problems = [FieldProblem("spec.cidrs[0]", "is no block")]
        cluster.state.set(cidr)
        let told = cluster.compile(interfaceAddresses: []).diagnostics.flatMap(\.1)
        #expect(
            told.map(\.description) == [
                "Node here: spec.podCIDRs[0]: is no block",
                "ServiceCIDR kubernetes: spec.cidrs[0]: is no block",
            ]
        )
    }

    /// The Service `default/web` with NodePort 30080 at 192.0.2.1.
    private var nodePortService: Service {
        var service = ClusterBuilder().service
        service.ports[0].nodePort = 30080
        return service
    }

    private func configuration() -> NodeConfiguration {
        var configuration = NodeConfiguration(nodeName: "here")
        configuration.nodeIPs = [ip("192.0.2.1")]
        return configuration
    }

    @Test func `what listens is looked at when frontends of the node change, and stays told`() async
    {
        let looks = Mutex(0)
        var cluster = Cluster(
            configuration(),
            listeningSockets: {
                looks.withLock { $0 += 1 }
                var sockets = ListeningSockets()
                sockets.insert(FrontendKey(ip("192.0.2.1"), .tcp, 30080))
                return sockets
            }
        )
        cluster.state.set(ClusterBuilder().service)
        _ = cluster.compile(interfaceAddresses: [])
        #expect(looks.withLock { $0 } == 0)
        let service = nodePortService
        for change in 0..<3 {
            let slice = slice("web-1", "10.0.0.\(change + 1)")
            cluster.state.set(service)
            cluster.state.set(slice)
            let told = cluster.compile(interfaceAddresses: []).diagnostics.flatMap(\.1)
            #expect(told.map(\.event) == [.portInUse])
            #expect(told[0].description.contains("listens on 192.0.2.1:30080/tcp"))
        }
        #expect(looks.withLock { $0 } == 1)
        cluster.state.set(ClusterBuilder().service)
        #expect(
            cluster.compile(interfaceAddresses: []).diagnostics.flatMap(\.1).isEmpty
        )
    }

    private func slice(_ name: String, _ address: String) -> EndpointSlice {
        var slice = EndpointSlice(
            name: ObjectName(namespace: "default", name: name),
            service: ObjectName(namespace: "default", name: "web"),
            family: .ipv4
        )
        slice.ports = [EndpointPort(name: "http", transport: .tcp, port: 8080)]
        slice.endpoints = [endpoint(address)]
        return slice
    }

    @Test func `no external IP is where the API server is reached, as soon as that is known`() async
    {
        let servers = APIServerAddresses()
        var cluster = Cluster(configuration())
        let thief = {
            var service = ClusterBuilder().service
            service.externalIPs = [ip("203.0.113.6"), ip("203.0.113.7")]
            return service
        }()
        cluster.state.set(thief)
        func external() async -> [String]? {
            cluster.compile(interfaceAddresses: [], apiServers: servers.all).changes.first?.new?
                .frontends
                .filter { $0.kind == .externalIP }.map(\.key.address.description)
        }
        #expect(await external() == ["203.0.113.6", "203.0.113.7"])
        servers.add(ip("203.0.113.6"), 80)
        #expect(await external() == ["203.0.113.7"])
        servers.add(ip("203.0.113.6"), 80)
        #expect(await external() == nil)
        var endpoints = EndpointSlice(
            name: ObjectName(namespace: "default", name: "kubernetes"),
            service: ObjectName(namespace: "default", name: "kubernetes"),
            family: .ipv4
        )
        endpoints.ports = [EndpointPort(name: "https", transport: .tcp, port: 80)]
        endpoints.endpoints = [endpoint("203.0.113.7")]
        let slice = endpoints
        cluster.state.set(slice)
        #expect(await external() == [])
    }

    @Test func `an address of an interface concerns Services with addresses of their own alone`() {
        var cluster = Cluster(configuration())
        let balanced = {
            var service = ClusterBuilder("lb", clusterIP: "10.96.0.11").service
            service.loadBalancerVIPs = [ip("192.0.2.3")]
            service.ports[0].port = 22
            return service
        }()
        cluster.state.set(balanced)
        cluster.state.set(ClusterBuilder().service)
        _ = cluster.compile(interfaceAddresses: [ip("192.0.2.1")])
        let update = cluster.compile(interfaceAddresses: [ip("192.0.2.3")])
        #expect(update.changes.map(\.service) == ["default/lb"])
        #expect(update.diagnostics.filter { !$0.1.isEmpty }.map(\.0.name) == ["lb"])
        #expect(update.diagnostics.flatMap(\.1).map(\.event) == [.frontendRefused])
    }
}
