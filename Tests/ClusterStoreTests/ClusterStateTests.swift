import ClusterStore
import KubernetesModel
import NetworkTypes
import PlanCompiler
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

@Suite struct ClusterStoreTests {
    @Test func `nothing rings before every list has arrived`() async {
        let store = ClusterStore(
            NodeConfiguration(nodeName: "here"),
            awaiting: [.services, .endpoints]
        )
        await store.update(completing: .services) { $0.set(ClusterBuilder().service) }
        #expect(await !store.isComplete)
        await store.update(completing: .endpoints) { _ in }
        #expect(await store.isComplete)
        #expect(store.summary.pendingServices == 1 && store.summary.missing.isEmpty)
        var rings = store.changes.makeAsyncIterator()
        _ = await rings.next()
        let update = await store.compileChanges(interfaceAddresses: [])
        #expect(update.plans.map(\.service) == ["default/web"])
        #expect(await store.compileChanges(interfaceAddresses: []).plans.isEmpty)
        #expect(store.summary.pendingServices == 0 && store.summary.services == 1)
    }

    @Test func `what is not essential can be gone without, and is taken when it comes`() async {
        let store = ClusterStore(
            NodeConfiguration(nodeName: "here"),
            awaiting: [.services, .endpoints, .nodes]
        )
        await store.update(completing: .services) { $0.set(ClusterBuilder().service) }
        await store.update(completing: .endpoints) { _ in }
        #expect(await !store.waive(.services))
        #expect(await !store.isComplete)
        #expect(await store.waive(.nodes))
        var rings = store.changes.makeAsyncIterator()
        _ = await rings.next()
        #expect(await store.isComplete)
        #expect(!store.summary.arrived.contains(.nodes))
        await store.update(completing: .nodes) { $0.set(Node(name: "here")) }
        _ = await rings.next()
        #expect(store.summary.arrived.contains(.nodes))
    }

    @Test func `a list removes nothing that may be what it could not show`() {
        var state = ClusterState(nodeName: "here")
        for (namespace, name) in [("a", "one"), ("a", "two"), ("b", "one")] {
            state.set(Service(name: ObjectName(namespace: namespace, name: name)))
        }
        var unreadable = UnreadableObjects()
        unreadable.insert(namespace: "a", name: nil)
        state.replaceServices([], keeping: unreadable)
        #expect(state.services.keys.map(\.description).sorted() == ["a/one", "a/two"])
        unreadable = UnreadableObjects()
        unreadable.insert(namespace: "a", name: "two")
        state.replaceServices([], keeping: unreadable)
        #expect(state.services.keys.map(\.description) == ["a/two"])
        unreadable.insert(namespace: nil, name: nil)
        state.replaceServices([], keeping: unreadable)
        #expect(state.services.count == 1)
    }

    @Test func `a change of the node's zone compiles every Service again`() async {
        let store = ClusterStore(NodeConfiguration(nodeName: "here"), awaiting: [])
        var slice = EndpointSlice(
            name: ObjectName(namespace: "default", name: "s"),
            service: ObjectName(namespace: "default", name: "web"),
            family: .ipv4
        )
        slice.ports = [EndpointPort(name: "http", transport: .tcp, port: 80)]
        slice.endpoints = [endpoint("10.0.0.1", zones: ["a"]), endpoint("10.0.0.2", zones: ["b"])]
        let endpoints = slice
        await store.update { state in
            state.set(ClusterBuilder().service)
            state.set(endpoints)
        }
        #expect(
            await store.compileChanges(interfaceAddresses: []).plans.first?.plan?.pools[0].endpoints
                .count == 2
        )
        var node = Node(name: "here")
        node.zone = "b"
        let zoned = node
        await store.update { $0.set(zoned) }
        #expect(
            await store.compileChanges(interfaceAddresses: []).plans.first?.plan?.pools[0].endpoints
                .count == 1
        )
    }

    @Test func `what is wrong with the Node and with ServiceCIDRs is told`() async {
        let store = ClusterStore(NodeConfiguration(nodeName: "here"), awaiting: [])
        await store.update { state in
            var node = Node(name: "here")
            node.problems = [FieldProblem("spec.podCIDRs[0]", "is no block")]
            state.set(node)
            var cidr = ServiceCIDR(name: "kubernetes")
            cidr.problems = [FieldProblem("spec.cidrs[0]", "is no block")]
            state.set(cidr)
        }
        let told = await store.compileChanges(interfaceAddresses: []).diagnostics.flatMap(\.1)
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
        let store = ClusterStore(
            configuration(),
            awaiting: [],
            listeningSockets: {
                looks.withLock { $0 += 1 }
                var sockets = ListeningSockets()
                sockets.insert(FrontendKey(ip("192.0.2.1"), .tcp, 30080))
                return sockets
            }
        )
        await store.update { $0.set(ClusterBuilder().service) }
        _ = await store.compileChanges(interfaceAddresses: [])
        #expect(looks.withLock { $0 } == 0)
        let service = nodePortService
        for change in 0..<3 {
            let slice = slice("web-1", "10.0.0.\(change + 1)")
            await store.update { state in
                state.set(service)
                state.set(slice)
            }
            let told = await store.compileChanges(interfaceAddresses: []).diagnostics.flatMap(\.1)
            #expect(told.map(\.event) == [.portInUse])
            #expect(told[0].description.contains("listens on 192.0.2.1:30080/tcp"))
        }
        #expect(looks.withLock { $0 } == 1)
        await store.update { $0.set(ClusterBuilder().service) }
        #expect(
            await store.compileChanges(interfaceAddresses: []).diagnostics.flatMap(\.1).isEmpty
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
        let store = ClusterStore(configuration(), awaiting: [], apiServers: servers)
        let thief = {
            var service = ClusterBuilder().service
            service.externalIPs = [ip("203.0.113.6"), ip("203.0.113.7")]
            return service
        }()
        await store.update { $0.set(thief) }
        func external() async -> [String]? {
            await store.compileChanges(interfaceAddresses: []).plans.first?.plan?.frontends
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
        await store.update { $0.set(slice) }
        #expect(await external() == [])
    }

    @Test func `an address of an interface concerns Services with addresses of their own alone`()
        async
    {
        let store = ClusterStore(configuration(), awaiting: [])
        let balanced = {
            var service = ClusterBuilder("lb", clusterIP: "10.96.0.11").service
            service.loadBalancerVIPs = [ip("192.0.2.3")]
            service.ports[0].port = 22
            return service
        }()
        await store.update { state in
            state.set(balanced)
            state.set(ClusterBuilder().service)
        }
        _ = await store.compileChanges(interfaceAddresses: [ip("192.0.2.1")])
        let update = await store.compileChanges(interfaceAddresses: [ip("192.0.2.3")])
        #expect(update.plans.map(\.service) == ["default/lb"])
        #expect(update.diagnostics.filter { !$0.1.isEmpty }.map(\.0.name) == ["lb"])
        #expect(update.diagnostics.flatMap(\.1).map(\.event) == [.frontendRefused])
    }
}
