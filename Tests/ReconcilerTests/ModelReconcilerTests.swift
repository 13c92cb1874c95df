import Backend
import KubernetesModel
import Logging
import ModelKernel
import ModelSupport
import NFTables
import NetworkTypes
import PlanCompiler
import Reconciler
import TestSupport
import Testing

/// Tests of the reconciler over a kernel in memory, with a clock that the test controls.
@Suite(.timeLimit(.minutes(30))) struct ModelReconcilerTests {
    private let backend = MemoryBackend()
    private let clock = TestClock()
    private let observer = RecordingObserver()
    private let reconciler: Reconciler

    init() {
        reconciler = Reconciler(awaiting: [.services], backend, observer, clock)
    }

    private func running(_ body: () async throws -> Void) async rethrows {
        let task = Task { await reconciler.run() }
        defer {
            task.cancel()
            clock.end()
        }
        try await body()
    }

    private func service(_ name: String, _ host: Int, endpoints: Int = 2) -> (
        Service, EndpointSlice
    ) {
        let builder = ClusterBuilder(name, clusterIP: "10.96.0.\(host)")
        var slice = EndpointSlice(
            name: ObjectName(namespace: "default", name: "\(name)-1"),
            service: builder.service.name,
            family: .ipv4
        )
        slice.ports = [EndpointPort(name: "http", transport: .tcp, port: 8080)]
        slice.endpoints = (0..<endpoints).map { endpoint("10.0.\(host).\(1 + $0)") }
        return (builder.service, slice)
    }

    private func set(_ name: String, _ host: Int, endpoints: Int = 2, completing: Bool = false)
        async
    {
        let (service, slice) = service(name, host, endpoints: endpoints)
        await reconciler.update(completing: completing ? .services : nil) { state in
            state.set(service)
            state.set(slice)
        }
    }

    /// The addresses that the kernel serves, and how many slots each has.
    private var served: [IPAddress: Int] {
        let contents = backend.kernel.withKernel {
            $0.contents(of: .ipv4, Program.Variant(TableInputs(), .ipv4))
        }
        var served: [IPAddress: Int] = [:]
        contents.elements[.endpoints]?.forEach { element in
            var reader = ElementReader(element.key)
            if let frontend = reader.frontendKey(.ipv4) {
                served[frontend.address, default: 0] += 1
            }
        }
        return served
    }

    @Test func `a commit that fails delays another change by no more than itself`() async {
        await running {
            await set("a", 1, completing: true)
            await observer.wait(forSyncs: 1)
            #expect(served == [ip("10.96.0.1"): 2])
            backend.kernel.withKernel { $0.failNext(1, with: .outOfMemory) }
            await set("b", 2)
            // The failure is to be tried again later; the clock stands still.
            #expect(await clock.waitForSleeper() > .zero)
            #expect(served == [ip("10.96.0.1"): 2] && observer.failures.count == 1)
            await set("c", 3)
            await observer.wait(forSyncs: 2)
            #expect(served.keys.sorted() == [ip("10.96.0.1"), ip("10.96.0.2"), ip("10.96.0.3")])
        }
    }

    @Test func `a repair that is paced delays no change, and comes`() async {
        await running {
            await set("a", 1, completing: true)
            await observer.wait(forSyncs: 1)
            let table = Ruleset.TableID(.ipv4)
            var syncs = 1
            var flushed: [Duration] = []
            repeat {
                backend.kernel.withKernel { try? $0.flushChain("services", of: table) }
                await reconciler.onForeignChange(.table)
                flushed = observer.repairs
                if flushed.last == .zero {
                    syncs += 1
                    await observer.wait(forSyncs: syncs)
                }
            } while flushed.last == .zero && flushed.count < 50
            // From now on repairs are paced: this one waits.
            #expect(flushed.count == 11)
            let rules = {
                backend.kernel.withKernel { kernel in
                    kernel.ruleset.tables[table]?.chains["services"]?.rules.count ?? 0
                }
            }
            #expect(rules() == 0)
            await set("b", 2)
            syncs += 1
            await observer.wait(forSyncs: syncs)
            #expect(served.keys.contains(ip("10.96.0.2")))
            clock.advance(by: .seconds(5))
            await observer.wait(forSyncs: syncs + 1)
            #expect(rules() > 0)
        }
    }

    private func isBehind() async throws -> Bool {
        let summary = reconciler.summary
        guard summary.pendingServices + summary.pendingEndpoints == 0 else { return true }
        return try await reconciler.difference()?.isEmpty != true
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func `whatever happens meanwhile, the kernel ends with the cluster`(seed: UInt64) async throws {
        try await running {
            var random = Seeded(seed)
            var others = ForeignWriter(seed: seed &+ 1000)
            var wanted: [Int: Int] = [1: 2]
            await set("s1", 1, completing: true)
            await observer.wait(forSyncs: 1)
            for _ in 0..<12 {
                switch Int.random(in: 0..<5, using: &random) {
                case 0..<2:
                    let host = Int.random(in: 1...5, using: &random)
                    let count = Int.random(in: 1...40, using: &random)
                    wanted[host] = count
                    await set("s\(host)", host, endpoints: count)
                case 2:
                    backend.kernel.withKernel { others.write(to: &$0) }
                    await reconciler.onForeignChange(.table)
                case 3: backend.kernel.withKernel { $0.failNext(1, with: .busy) }
                default: clock.advance(by: .seconds(Int.random(in: 0...40, using: &random)))
                }
            }
            backend.kernel.withKernel { $0.failNext(0, with: .busy) }
            await reconciler.onReread()
            // A failure or a pace may still stand in the way of the last sync.
            while try await isBehind() {
                clock.advance(by: .seconds(60))
                await Task.yield()
            }
            let slots = { (count: Int) in PoolLayout.size(for: count) }
            let expected = Dictionary(
                uniqueKeysWithValues: wanted.map { (ip("10.96.0.\($0)"), slots($1)) }
            )
            #expect(served == expected)
        }
    }
}
