import Backend
import KubernetesModel
import Logging
import NetworkTypes
import PlanCompiler
import Reconciler
import ServicePlan
import Synchronization
import TestSupport
import Testing

/// Every sync is asked for by the test.
@Suite struct ReconcilerHistoryTests {
    private let backend = ModelBackend()
    private let observer = RecordingObserver()
    private let reconciler: Reconciler

    init() {
        reconciler = Reconciler(awaiting: [], backend, observer, TestClock())
    }

    /// One of six Services with up to four endpoints; the addresses of some are the same.
    private func random(
        _ number: Int,
        _ random: inout Seeded
    ) -> (service: Service, slice: EndpointSlice) {
        let builder = ClusterBuilder("s\(number)", clusterIP: "10.96.0.\(number % 4 + 1)").with {
            $0.service.createdAt = Int64(number)
            if Bool.random(using: &random) { $0.service.externalIPs = [ip("203.0.113.1")] }
        }
        var slice = EndpointSlice(
            name: ObjectName(namespace: "default", name: "s\(number)-x"),
            service: builder.service.name,
            family: .ipv4
        )
        slice.ports = [EndpointPort(name: "http", transport: .tcp, port: 8080)]
        slice.endpoints = (1...4).filter { _ in Bool.random(using: &random) }.map {
            endpoint("10.244.\(number).\($0)")
        }
        return (builder.service, slice)
    }

    @Test(arguments: 0..<25 as Range<UInt64>)
    func `any events and failures lead to what the cluster means`(seed: UInt64) async throws {
        var random = Seeded(seed)
        // Compiled at the same moments, since who has an address first keeps it.
        var mirror = Cluster(NodeConfiguration(nodeName: "here"))
        var isKnown = false
        for _ in 0..<60 {
            let number = Int.random(in: 0..<6, using: &random)
            let (service, slice) = self.random(number, &random)
            let event = Int.random(in: 0..<4, using: &random)
            let apply = { @Sendable (state: inout ClusterState) in
                switch event {
                case 0: state.removeService(service.name)
                case 1: state.removeEndpointSlice(slice.name)
                default:
                    state.set(service)
                    state.set(slice)
                }
            }
            apply(&mirror.state)
            await reconciler.update(apply)
            guard Bool.random(using: &random) else { continue }
            switch Int.random(in: 0..<6, using: &random) {
            case 0: backend.fail(CommitError("refused", recovery: .retry))
            case 1: backend.fail(CommitError("tampered", recovery: .rereadKernel))
            default: break
            }
            _ = mirror.compile(interfaceAddresses: [])
            do {
                try await reconciler.sync(isKnown ? .changes : .everything)
                isKnown = true
                #expect(backend.plans == plans(of: mirror))
            } catch {
                isKnown = false
            }
            backend.state.withLock { $0.failures = [] }
        }
        _ = mirror.compile(interfaceAddresses: [])
        try await reconciler.sync(isKnown ? .changes : .everything)
        #expect(backend.plans == plans(of: mirror))
        #expect(try await reconciler.difference()?.isEmpty == true)
    }

    private func plans(of cluster: Cluster) -> [String: ServicePlan] {
        Dictionary(uniqueKeysWithValues: cluster.plans.map { ($0.service, $0) })
    }

    private func add(_ name: String, _ clusterIP: String) async {
        await reconciler.update {
            $0.set(ClusterBuilder(name, clusterIP: clusterIP).service)
        }
    }

    @Test func `what a failed sync would have told is told by the next one`() async throws {
        let local = ClusterBuilder("a", clusterIP: "10.96.0.1").with {
            $0.service.healthCheckNodePort = 32_000
            $0.service.externalTrafficPolicy = .local
            $0.service.type = .loadBalancer
        }
        await reconciler.update { $0.set(local.service) }
        backend.fail(CommitError("refused", recovery: .retry))
        await #expect(throws: CommitError.self) { try await reconciler.sync() }
        #expect(observer.records.isEmpty)
        await add("b", "10.96.0.2")
        let record = try await reconciler.sync()
        #expect(record.healthChecks.keys.sorted() == ["default/a", "default/b"])
        #expect(record.healthChecks["default/a"]??.port == 32_000)
        let next = try await reconciler.sync(.changes)
        #expect(next.healthChecks.isEmpty && next.news.isEmpty && next.forwardedPorts.isEmpty)
    }

    @Test func `a commit that meets damage becomes an adoption in the same sync`() async throws {
        await add("a", "10.96.0.1")
        try await reconciler.sync()
        await add("b", "10.96.0.2")
        backend.fail(CommitError("tampered", recovery: .rereadKernel))
        let record = try await reconciler.sync(.changes)
        #expect(record.isFull && backend.adoptions == 2 && backend.commits.isEmpty)
        #expect(Set(backend.plans.keys) == ["default/a", "default/b"])
        #expect(observer.failures.isEmpty)
    }

    @Test func `facts of the node are committed without a change of any Service`() async throws {
        await add("a", "10.96.0.1")
        try await reconciler.sync()
        try await reconciler.sync(.changes)
        #expect(backend.commits.isEmpty)
        let block = prefix("10.96.0.0/12")
        var services = ServiceCIDR(name: "kubernetes")
        services.cidrs = [block]
        await reconciler.update { [services] in $0.set(services) }
        try await reconciler.sync(.changes)
        #expect(backend.commits.map(\.count) == [0])
        #expect(backend.node?.serviceCIDRs == [block])
        #expect(await reconciler.facts?.serviceCIDRs == [block])
    }

    // Nobody notifies of virtual servers, so rereading finds out.
    @Test
    func `servers that rereading has to repair are damage, those that a change needs are not`()
        async throws
    {
        await add("a", "10.96.0.1")
        try await reconciler.sync()
        var repaired = CommitReport()
        repaired.serversChanged = 2
        backend.report(repaired, repaired, CommitReport())
        await reconciler.onReread()
        #expect(try await reconciler.sync().isRepair)
        #expect(observer.damage == [.servers])
        await add("b", "10.96.0.2")
        await reconciler.onReread()
        #expect(try await !reconciler.sync().isRepair)
        await reconciler.onReread()
        #expect(try await !reconciler.sync().isRepair)
        #expect(observer.damage == [.servers])
    }

    @Test func `damage is told once until it is repaired`() async throws {
        await add("a", "10.96.0.1")
        try await reconciler.sync()
        await reconciler.onForeignChange(.addresses)
        await reconciler.onForeignChange(.table)
        #expect(observer.damage == [.addresses])
        // A commit of changes repairs nothing.
        #expect(try await !reconciler.sync(.changes).isRepair)
        #expect(try await reconciler.sync().isRepair)
        await reconciler.onForeignChange(.table)
        #expect(observer.damage == [.addresses, .table])
    }

    @Test func `what an operator changes concerns every Service`() async throws {
        let service = ClusterBuilder("a", clusterIP: "10.96.0.1").with {
            $0.service.externalIPs = [ip("203.0.113.1")]
        }.service
        await reconciler.update { $0.set(service) }
        try await reconciler.sync()
        #expect(backend.plans["default/a"]?.frontends.count == 2)
        var configuration = NodeConfiguration(nodeName: "here")
        configuration.allowsExternalIPs = false
        await reconciler.configure(configuration)
        try await reconciler.sync(.changes)
        #expect(backend.plans["default/a"]?.frontends.count == 1)
        configuration.masqueradesAll = true
        await reconciler.configure(configuration)
        try await reconciler.sync(.changes)
        #expect(backend.plans["default/a"]?.frontends.first?.masquerade == .everyone)
        #expect(backend.commits.count == 2)
    }

    @Test func `addresses of interfaces that come and go move NodePorts`() async throws {
        var configuration = NodeConfiguration(nodeName: "here")
        configuration.nodePortAddresses = NodePortAddresses(["192.0.2.0/24"])
        await reconciler.configure(configuration)
        let service = ClusterBuilder("a", clusterIP: "10.96.0.1").with {
            $0.service.type = .nodePort
            $0.service.ports[0].nodePort = 30_080
        }.service
        await reconciler.update { $0.set(service) }
        let record = try await reconciler.sync()
        #expect(record.nodePortAddresses.isEmpty)
        for addresses in [["192.0.2.1", "10.0.0.1"], ["192.0.2.2"], []] {
            await reconciler.onInterfaceAddresses(addresses.map(ip))
            let record = try await reconciler.sync(.changes)
            let answering = addresses.filter { $0.hasPrefix("192") }.map(ip)
            #expect(record.nodePortAddresses == answering)
            let frontends = backend.plans["default/a"]?.frontends ?? []
            #expect(
                frontends.filter { $0.kind == .nodePort }.map(\.key.address) == answering
            )
        }
    }

    @Test func `objects of manifests replace all that there was`() async throws {
        await add("a", "10.96.0.1")
        try await reconciler.sync()
        let other = ClusterBuilder("b", clusterIP: "10.96.0.2").service
        await reconciler.replaceAll([.service(other)])
        try await reconciler.sync(.changes)
        #expect(Array(backend.plans.keys) == ["default/b"])
        #expect(reconciler.summary.missing.isEmpty && reconciler.summary.services == 1)
    }

    @Test func `what there is can be asked for before anything was compiled`() async throws {
        #expect(await reconciler.facts == nil)
        #expect(try await reconciler.difference() == nil)
        await add("a", "10.96.0.1")
        #expect(reconciler.summary.services == 1 && reconciler.summary.pendingServices == 1)
        try await reconciler.sync()
        #expect(reconciler.summary.pendingServices == 0)
    }
}

@Suite(.timeLimit(.minutes(30))) struct MaintenanceTests {
    private let backend = ModelBackend()
    private let clock = TestClock()
    private let observer = RecordingObserver()
    private let reconciler: Reconciler

    init() {
        reconciler = Reconciler(awaiting: [], backend, observer, clock)
    }

    @Test func `maintenance comes again when the backend says, and ends when there is none`() async
    {
        backend.maintain(.success(.again(after: .seconds(5))), .success(.resync))
        let reconciler = reconciler
        let task = Task { await reconciler.maintain() }
        #expect(await clock.waitForSleeper() == .seconds(5))
        clock.advance(by: .seconds(5))
        #expect(await clock.waitForSleeper() == .seconds(1))
        clock.advance(by: .seconds(1))
        await task.value
        #expect(backend.state.withLock { $0.maintenance.isEmpty })
    }

    @Test func `maintenance that fails, or asks for it, has everything compared`() async throws {
        try await reconciler.sync()
        var repaired = CommitReport()
        repaired.serversChanged = 1
        for answer in [
            Result<Maintenance, CommitError>.success(.resync),
            .failure(CommitError("no answer", recovery: .retry)),
        ] {
            backend.maintain(answer)
            let reconciler = reconciler
            let task = Task { await reconciler.maintain() }
            #expect(await clock.waitForSleeper() == .seconds(1))
            clock.advance(by: .seconds(1))
            await task.value
            // Only a rereading takes changed servers for damage.
            backend.report(repaired)
            #expect(try await reconciler.sync().isRepair)
        }
    }
}
