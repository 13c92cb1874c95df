import Backend
import KubernetesModel
import NetworkTypes
import PlanCompiler
@testable import Reconciler
import ServicePlan
import Synchronization
import TestSupport
import Testing

/// A backend that programs the first plans, lets something happen, and then asks for the rest.
private final class StagedBackend: TestBackend {
    struct State {
        var first: [String] = []
        var rest: [String] = []
        var plans: [String: ServicePlan] = [:]
        var commits: [Set<String>] = []
        var failures: [CommitError] = []
    }

    let state = Mutex(State())
    private let clock: TestClock
    private let meanwhile: @Sendable () async -> Void

    init(_ clock: TestClock, meanwhile: @escaping @Sendable () async -> Void = {}) {
        (self.clock, self.meanwhile) = (clock, meanwhile)
    }

    func adopt(
        _ supply: PlanSupply,
        node: NodeFacts
    ) async throws(CommitError) -> CommitReport {
        clock.advance(by: .milliseconds(50))
        supply.programmed(supply.first.count)
        await meanwhile()
        let failure = state.withLock { $0.failures.popLast() }
        if let failure { throw failure }
        let rest = supply.rest()
        clock.advance(by: .seconds(2))
        state.withLock { state in
            state.first = supply.first.map(\.service)
            state.rest = rest.map(\.service)
            for plan in supply.first { state.plans[plan.service] = plan }
            for change in rest {
                #expect(change.old == state.plans[change.service], "\(change.service)")
                state.plans[change.service] = change.new
            }
            let all = supply.all()
            #expect(Set(state.plans.values) == Set(all))
        }
        return CommitReport()
    }

    func commit(
        _ changes: [PlanChange],
        node: NodeFacts
    ) async throws(CommitError) -> CommitReport {
        state.withLock { $0.commits.append(Set(changes.map(\.service))) }
        return CommitReport()
    }
}

/// The first sync: what others wait for is programmed before the rest is compiled.
@Suite(.timeLimit(.minutes(30))) struct ColdStartTests {
    private let clock = TestClock()
    private let observer = RecordingObserver()

    private func builder(
        _ namespace: String,
        _ name: String,
        _ address: String,
        port: UInt16 = 80,
        on node: String?
    ) -> ClusterBuilder {
        var builder = ClusterBuilder(name, clusterIP: address)
        builder.service.name = ObjectName(namespace: namespace, name: name)
        builder.service.ports = [ServicePort(name: "http", transport: .tcp, port: port)]
        if let node {
            builder.add(
                SliceEndpoint(address: ip("10.244.0.9"), place: EndpointPlace(nodeName: node))
            )
        }
        for index in builder.slices.indices {
            builder.slices[index].name = ObjectName(namespace: namespace, name: "\(name)-1")
        }
        return builder
    }

    /// Services of every rank, in another order.
    private var cluster: [ClusterBuilder] {
        [
            builder("shop", "empty", "10.96.0.1", on: nil),
            builder("shop", "served", "10.96.0.2", on: "there"),
            builder("shop", "local", "10.96.0.3", on: "here"),
            builder("kube-system", "dns", "10.96.0.4", port: 53, on: "there"),
            builder("default", "kubernetes", "10.96.0.5", port: 443, on: nil),
        ]
    }

    private func fill(_ state: inout ClusterState, _ builders: [ClusterBuilder]) {
        for builder in builders {
            state.set(builder.service)
            for slice in builder.slices { state.set(slice) }
        }
    }

    @Test func `what others wait for comes first, and the times are told`() async throws {
        let backend = StagedBackend(clock)
        let reconciler = Reconciler(awaiting: [.services], backend, observer, clock)
        #expect(reconciler.progress.figures == StartProgress.Figures())
        clock.advance(by: .milliseconds(300))
        await reconciler.update(completing: .services) { fill(&$0, cluster) }
        var figures = reconciler.progress.figures
        #expect(figures.lists == .milliseconds(300) && figures.services == 5)
        #expect(figures.firstServices == nil && figures.programmed == 0)
        let record = try await reconciler.sync()
        #expect(record.isFirst && record.isFull && record.services == 5)
        backend.state.withLock { state in
            #expect(state.first == ["default/kubernetes", "kube-system/dns", "shop/local"])
            #expect(state.rest == ["shop/served", "shop/empty"])
        }
        figures = reconciler.progress.figures
        #expect(figures.firstServices == .milliseconds(50))
        #expect(figures.all == .milliseconds(2050))
        #expect(figures.programmed == 5 && figures.services == 5)
    }

    @Test func `progress can be read while the kernel is busy`() async throws {
        let seen = Mutex<StartProgress.Figures?>(nil)
        let reader = Mutex<(@Sendable () -> Void)?>(nil)
        let backend = StagedBackend(clock) { reader.withLock { $0 }?() }
        let reconciler = Reconciler(awaiting: [.services], backend, observer, clock)
        reader.withLock {
            $0 = { seen.withLock { $0 = reconciler.progress.figures } }
        }
        // The backend holds what holds the reconciler, which holds the backend.
        defer { reader.withLock { $0 = nil } }
        await reconciler.update(completing: .services) { fill(&$0, cluster) }
        try await reconciler.sync()
        let figures = try #require(seen.withLock { $0 })
        #expect(figures.programmed == 3 && figures.services == 5 && figures.all == nil)
        #expect(figures.firstServices == .milliseconds(50))
    }

    @Test func `what changes meanwhile is the next commit`() async throws {
        let added = builder("shop", "new", "10.96.0.6", on: "there")
        let changed = builder("shop", "local", "10.96.0.3", port: 81, on: "here")
        let change = Mutex<(@Sendable () async -> Void)?>(nil)
        let backend = StagedBackend(clock) { await change.withLock { $0 }?() }
        let reconciler = Reconciler(awaiting: [.services], backend, observer, clock)
        change.withLock {
            $0 = { await reconciler.update { fill(&$0, [added, changed]) } }
        }
        defer { change.withLock { $0 = nil } }
        await reconciler.update(completing: .services) { fill(&$0, cluster) }
        try await reconciler.sync()
        #expect(backend.state.withLock { $0.plans.count } == 5)
        #expect(backend.state.withLock { $0.plans["shop/local"]?.frontends.first?.key.port } == 80)
        try await reconciler.sync(.changes)
        #expect(backend.state.withLock { $0.commits } == [["shop/new", "shop/local"]])
    }

    @Test func `a claim of a Service that comes later is as old`() async throws {
        var (young, old) = (cluster[2], cluster[1])
        for (index, age) in [(0, Int64(200)), (1, 100)] {
            let addresses = [ip("198.51.100.7")]
            if index == 0 {
                (young.service.externalIPs, young.service.createdAt) = (addresses, age)
            } else {
                (old.service.externalIPs, old.service.createdAt) = (addresses, age)
            }
        }
        let builders = [young, old]
        let backend = StagedBackend(clock)
        let reconciler = Reconciler(awaiting: [.services], backend, observer, clock)
        await reconciler.update(completing: .services) { fill(&$0, builders) }
        try await reconciler.sync()
        // Compiled at once, they are the same.
        var whole = Cluster(NodeConfiguration(nodeName: "here"))
        fill(&whole.state, builders)
        _ = whole.compile(interfaceAddresses: [])
        backend.state.withLock { state in
            #expect(state.first == ["shop/local"])
            #expect(Set(state.plans.values) == Set(whole.plans))
            let kinds = state.plans["shop/served"]?.frontends.map(\.kind)
            #expect(kinds?.contains(.externalIP) == true)
        }
    }

    @Test func `a first sync that fails is repeated with everything`() async throws {
        let backend = StagedBackend(clock)
        backend.state.withLock { $0.failures = [CommitError("busy", recovery: .retry)] }
        let reconciler = Reconciler(awaiting: [.services], backend, observer, clock)
        await reconciler.update(completing: .services) { fill(&$0, cluster) }
        await #expect(throws: CommitError.self) { try await reconciler.sync() }
        #expect(reconciler.progress.figures.all == nil)
        let record = try await reconciler.sync()
        #expect(record.isFirst && backend.state.withLock { $0.plans.count } == 5)
        // What the first attempt compiled is told with the one that succeeds.
        #expect(record.healthChecks.count == 5 && reconciler.progress.figures.all != nil)
        backend.state.withLock { state in
            #expect(state.first.first == "default/kubernetes" && state.first.last == "shop/empty")
        }
    }
}
