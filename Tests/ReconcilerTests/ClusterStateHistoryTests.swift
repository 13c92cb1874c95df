import KubernetesModel
import NetworkTypes
import Reconciler
import TestSupport
import Testing

/// What a cluster state must show, kept in the simplest way.
private struct ReferenceState {
    var services: [ObjectName: Service] = [:]
    var slices: [ObjectName: EndpointSlice] = [:]

    func slices(of service: ObjectName) -> [EndpointSlice] {
        slices.values.filter { $0.service == service }.sorted { $0.name < $1.name }
    }

    var endpointCount: Int {
        slices.values.filter { $0.service != nil }.reduce(0) { $0 + $1.endpoints.count }
    }
}

@Suite struct ClusterStateHistoryTests {
    private func name(_ text: String) -> ObjectName { ObjectName(namespace: "n", name: text) }

    private func service(_ random: inout Seeded) -> Service {
        let number = Int.random(in: 0..<4, using: &random)
        return ClusterBuilder("s\(number)", clusterIP: "10.96.0.\(number + 1)").with {
            $0.service.name = name("s\(number)")
            if Bool.random(using: &random) { $0.service.externalIPs = [ip("203.0.113.1")] }
        }.service
    }

    private func slice(_ random: inout Seeded) -> EndpointSlice {
        let owner = Int.random(in: 0..<5, using: &random)
        var slice = EndpointSlice(
            name: name("slice-\(Int.random(in: 0..<8, using: &random))"),
            service: owner < 4 ? name("s\(owner)") : nil,
            family: .ipv4
        )
        slice.endpoints = (0..<Int.random(in: 0...3, using: &random)).map {
            endpoint("10.0.0.\($0 + 1)", ready: Bool.random(using: &random))
        }
        slice.changedAt = Int64.random(in: 0...2, using: &random)
        return slice
    }

    /// Does the same to both.
    private func step(
        _ state: inout ClusterState,
        _ reference: inout ReferenceState,
        _ random: inout Seeded
    ) {
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<2:
            let service = service(&random)
            state.set(service)
            reference.services[service.name] = service
        case 2:
            let name = service(&random).name
            state.removeService(name)
            reference.services[name] = nil
        case 3..<7:
            let slice = slice(&random)
            state.set(slice)
            reference.slices[slice.name] = slice
        case 7:
            let name = slice(&random).name
            state.removeEndpointSlice(name)
            reference.slices[name] = nil
        case 8:
            let list = (0..<3).map { _ in slice(&random) }
            let unique = Dictionary(list.map { ($0.name, $0) }, uniquingKeysWith: { $1 })
            var kept = UnreadableObjects()
            let unreadable = slice(&random).name
            kept.insert(namespace: unreadable.namespace, name: unreadable.name)
            state.replaceEndpointSlices(Array(unique.values), keeping: kept)
            reference.slices = reference.slices.filter { $0.key == unreadable }
                .merging(unique) { $1 }
        default:
            let list = Dictionary(
                (0..<2).map { _ in service(&random) }.map { ($0.name, $0) },
                uniquingKeysWith: { $1 }
            )
            state.replaceServices(Array(list.values))
            reference.services = list
        }
    }

    @Test(arguments: 0..<30 as Range<UInt64>)
    func `any history shows what is there, and names every Service that has changed`(
        seed: UInt64
    ) {
        var random = Seeded(seed)
        var state = ClusterState(nodeName: "here")
        var reference = ReferenceState()
        let names = (0..<4).map { name("s\($0)") }
        for _ in 0..<120 {
            let before = reference
            step(&state, &reference, &random)
            #expect(Set(state.serviceNames) == Set(reference.services.keys))
            #expect(state.endpointCount == reference.endpointCount)
            for name in names {
                let input = state.input(name)
                #expect(input?.service == reference.services[name])
                if let input { #expect(input.slices == reference.slices(of: name)) }
            }
            let changed = names.filter { name in
                before.services[name] != reference.services[name]
                    || before.slices(of: name) != reference.slices(of: name)
            }
            let hadChanges = state.hasChanges
            let pending = state.pending
            let taken = state.takeChanges()
            #expect(taken.services == Set(changed), "what is equal is not compiled again")
            #expect(hadChanges == !changed.isEmpty && !taken.node)
            #expect((pending.services + pending.endpoints > 0) == hadChanges)
            #expect(!state.hasChanges && state.pending == PendingChanges())
        }
        let external = state.servicesWithVirtualIPs
        #expect(
            Set(external)
                == Set(reference.services.values.filter { !$0.externalIPs.isEmpty }.map(\.name))
        )
    }

    @Test func `Endpoints take the place of all slices of their Service`() throws {
        var state = ClusterState(nodeName: "here", endpointsFrom: .endpoints)
        let web = name("web")
        state.set(ClusterBuilder().with { $0.service.name = web }.service)
        let subset = { (number: Int) in
            var slice = EndpointSlice(name: name("web/\(number)"), service: web, family: .ipv4)
            slice.endpoints = [endpoint("10.0.0.\(number)")]
            return slice
        }
        var endpoints = Endpoints(name: web)
        endpoints.slices = [subset(1), subset(2)]
        state.set(endpoints)
        #expect(state.input(web)?.slices.count == 2 && state.endpointCount == 2)
        endpoints.slices = [subset(2), subset(3)]
        state.set(endpoints)
        #expect(state.input(web)?.slices.map(\.name.name) == ["web/2", "web/3"])
        state.replaceEndpoints([])
        #expect(state.endpointCount == 0)
    }

    @Test func `objects of manifests replace everything, of the source that counts`() {
        for source in EndpointsSource.allCases {
            var state = ClusterState(nodeName: "here", endpointsFrom: source)
            let web = name("web")
            var slice = EndpointSlice(name: name("web-x"), service: web, family: .ipv4)
            slice.endpoints = [endpoint("10.0.0.1")]
            var other = EndpointSlice(name: name("web-y"), service: web, family: .ipv4)
            other.endpoints = [endpoint("10.0.0.2")]
            var endpoints = Endpoints(name: web)
            endpoints.slices = [other]
            var service = Service(name: web)
            service.clusterIPs = [ip("10.96.0.1")]
            state.replaceAll([
                .service(service), .endpointSlice(slice), .endpoints(endpoints),
                .node(Node(name: "there")), .node(Node(name: "here")),
            ])
            let expected = source == .endpoints ? other : slice
            #expect(state.input(web)?.slices == [expected])
            #expect(state.node?.name == "here")
            state.replaceAll([])
            #expect(state.serviceCount == 0 && state.endpointCount == 0 && state.node == nil)
        }
    }

    // The Service default/kubernetes has the API servers' own addresses as its endpoints.
    @Test func `API servers are the endpoints of default/kubernetes`() {
        var state = ClusterState(nodeName: "here")
        var slice = EndpointSlice(
            name: ObjectName(namespace: "default", name: "kubernetes"),
            service: ObjectName(namespace: "default", name: "kubernetes"),
            family: .ipv4
        )
        slice.ports = [EndpointPort(name: "https", transport: .tcp, port: 6443)]
        slice.endpoints = [endpoint("192.0.2.1"), endpoint("192.0.2.2", ready: false)]
        state.set(slice)
        #expect(
            state.apiServers
                == Set(["192.0.2.1", "192.0.2.2"].map { FrontendKey(ip($0), .tcp, 6443) })
        )
    }
}
