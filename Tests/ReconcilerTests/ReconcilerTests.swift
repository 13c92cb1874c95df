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

/// Tests of the order of events, with a scripted kernel and a clock that the test controls.
@Suite(.timeLimit(.minutes(30))) struct ReconcilerTests {
    private let backend = FakeBackend()
    private let clock = TestClock()
    private let observer = RecordingObserver()
    private let reconciler: Reconciler

    init() {
        reconciler = Reconciler(awaiting: [.services], backend, observer, clock)
    }

    private static let refused = CommitError("refused", recovery: .retry)
    private static let tampered = CommitError("tampered", recovery: .rereadKernel)

    /// Runs the syncer during the closure.
    private func running(_ body: () async throws -> Void) async rethrows {
        let task = Task { await reconciler.run() }
        defer {
            task.cancel()
            clock.end()
            backend.release()
        }
        try await body()
    }

    /// Adds a Service, as an event of the API would.
    private func add(_ name: String, completing: Bool = false) async {
        let service = ClusterBuilder(name, clusterIP: "10.96.0.\(10 + name.count)").service
        await reconciler.update(completing: completing ? .services : nil) { $0.set(service) }
    }

    @Test func `nothing is programmed before every list is there`() async {
        await running {
            await add("a")
            await add("bb", completing: true)
            await backend.wait(for: 1)
            #expect(backend.commits == [.everything(["default/a", "default/bb"])])
        }
    }

    @Test func `after the first sync only changes are committed`() async {
        await running {
            await add("a", completing: true)
            await backend.wait(for: 1)
            await add("bb")
            await backend.wait(for: 2)
            // The syncer is woken without a change.
            await reconciler.update { _ in }
            await add("ccc")
            await backend.wait(for: 3)
            #expect(
                backend.commits == [
                    .everything(["default/a"]), .some(["default/bb"]), .some(["default/ccc"]),
                ]
            )
        }
    }

    @Test func `changes during a commit are the next one`() async {
        await running {
            backend.hold()
            await add("a", completing: true)
            await backend.wait(for: 1)
            await add("bb")
            await add("ccc")
            backend.release()
            await backend.wait(for: 2)
            #expect(backend.commits.last == .some(["default/bb", "default/ccc"]))
        }
    }

    @Test func `a failure is tried again with everything, ever later`() async {
        await running {
            backend.fail(Self.refused, Self.refused, Self.refused)
            await add("a", completing: true)
            for delay in [100, 200, 400] {
                #expect(await clock.waitForSleeper() == .milliseconds(delay))
                clock.advance(by: .milliseconds(delay))
            }
            await backend.wait(for: 4)
            #expect(backend.commits == Array(repeating: .everything(["default/a"]), count: 4))
            #expect(observer.failures.count == 3)
        }
    }

    @Test func `a change does not wait behind the pause of a failure`() async {
        await running {
            backend.fail(Self.refused)
            await add("a", completing: true)
            _ = await clock.waitForSleeper()
            // No time passes.
            await add("bb")
            await backend.wait(for: 2)
            #expect(backend.commits.last == .everything(["default/a", "default/bb"]))
        }
    }

    @Test func `a change that meets damage is committed with everything, at once`() async {
        await running {
            await add("a", completing: true)
            await backend.wait(for: 1)
            backend.fail(Self.tampered)
            await add("bb")
            await backend.wait(for: 3)
            #expect(backend.commits[1] == .some(["default/bb"]))
            #expect(backend.commits[2] == .everything(["default/a", "default/bb"]))
            #expect(observer.failures.isEmpty)
        }
    }

    /// Adds a Service whose change is large: 50 ports with this number of endpoints.
    private func addLarge(_ name: String, endpoints: Int) async {
        var builder = ClusterBuilder(name, clusterIP: "10.96.1.\(name.count)")
        builder.service.ports = (0..<50).map {
            ServicePort(name: "p\($0)", transport: .tcp, port: UInt16(80 + $0))
        }
        var slice = EndpointSlice(
            name: ObjectName(namespace: "default", name: "\(name)-1"),
            service: builder.service.name,
            family: .ipv4
        )
        slice.ports = (0..<50).map {
            EndpointPort(name: "p\($0)", transport: .tcp, port: UInt16(8000 + $0))
        }
        slice.endpoints = (0..<endpoints).map { endpoint("10.1.\($0 / 250).\(1 + $0 % 250)") }
        await reconciler.update { [service = builder.service, slice] state in
            state.set(service)
            state.set(slice)
        }
    }

    @Test func `what is large waits for what is small, and then for as long as it took`() async {
        await running {
            await add("a", completing: true)
            await observer.wait(forSyncs: 1)
            backend.hold()
            await add("bb")
            await backend.wait(for: 2)
            // All of these come during a commit.
            await addLarge("large", endpoints: 100)
            await addLarge("larger", endpoints: 100)
            await add("ccc")
            backend.release()
            await backend.wait(for: 5)
            #expect(backend.commits[2] == .some(["default/ccc"]))
            #expect(
                backend.commits[3...] == [.some(["default/large"]), .some(["default/larger"])]
                    || backend.commits[3...] == [
                        .some(["default/larger"]), .some(["default/large"]),
                    ]
            )
            await observer.wait(forSyncs: 5)
            #expect(observer.records.map(\.largeChangesWaiting) == [0, 0, 2, 1, 0])
        }
    }

    @Test func `damage is repaired, and told once`() async {
        await running {
            await add("a", completing: true)
            await observer.wait(forSyncs: 1)
            await reconciler.onForeignChange(.table)
            await observer.wait(forSyncs: 2)
            #expect(backend.commits.last == .everything(["default/a"]))
            #expect(observer.repairs == [.zero])
        }
    }

    @Test func `a change does not wait behind a repair that is paced`() async {
        await running {
            await add("a", completing: true)
            await observer.wait(forSyncs: 1)
            // This is the number of repairs that are made without a pause.
            for repair in 1...10 {
                await reconciler.onForeignChange(.table)
                await observer.wait(forSyncs: 1 + repair)
            }
            await reconciler.onForeignChange(.table)
            #expect(await clock.waitForSleeper() > .zero)
            #expect(backend.commits.count == 11)
            await add("bb")
            await backend.wait(for: 12)
            #expect(backend.commits.last == .some(["default/bb"]))
            clock.advance(by: .seconds(1))
            await backend.wait(for: 13)
            #expect(backend.commits.last == .everything(["default/a", "default/bb"]))
        }
    }

    @Test func `rereading compares everything without calling it damage`() async {
        await running {
            await add("a", completing: true)
            await observer.wait(forSyncs: 1)
            await reconciler.onReread()
            await observer.wait(forSyncs: 2)
            #expect(backend.commits.last == .everything(["default/a"]))
            #expect(observer.repairs.isEmpty)
            #expect(observer.records.allSatisfy { !$0.isRepair })
        }
    }

    @Test func `what is not essential can be gone without, and is taken when it comes`() async {
        let reconciler = Reconciler(
            awaiting: [.services, .endpoints, .nodes],
            backend,
            observer,
            clock
        )
        let task = Task { await reconciler.run() }
        await reconciler.update(completing: .services) { $0.set(ClusterBuilder().service) }
        await reconciler.update(completing: .endpoints) { _ in }
        #expect(await !reconciler.waive(.services))
        #expect(reconciler.summary.missing == [.nodes] && backend.commits.isEmpty)
        #expect(await reconciler.waive(.nodes))
        await backend.wait(for: 1)
        #expect(!reconciler.summary.arrived.contains(.nodes))
        await reconciler.update(completing: .nodes) { $0.set(Node(name: "here")) }
        #expect(reconciler.summary.arrived.contains(.nodes) && reconciler.summary.services == 1)
        task.cancel()
        clock.end()
    }
}
