import Backend
import KubernetesModel
import NetworkTypes
import PlanCompiler
import Reconciler
import ServicePlan
import TestSupport
import Testing

/// What the observer is told of changes, from which the journal is made.
@Suite struct CommittedChangesTests {
    private let backend = ModelBackend()
    private let observer = RecordingObserver()
    private let clock = TestClock()
    private let reconciler: Reconciler

    init() {
        reconciler = Reconciler(awaiting: [], backend, observer, clock)
    }

    private func service(_ name: String, _ number: Int) -> Service {
        ClusterBuilder(name, clusterIP: "10.96.0.\(number)").service
    }

    private func slice(_ service: String, _ hosts: [Int]) -> EndpointSlice {
        var slice = EndpointSlice(
            name: ObjectName(namespace: "default", name: "\(service)-x"),
            service: ObjectName(namespace: "default", name: service),
            family: .ipv4
        )
        slice.ports = [EndpointPort(name: "http", transport: .tcp, port: 8080)]
        slice.endpoints = hosts.map { endpoint("10.244.1.\($0)") }
        return slice
    }

    private func change(_ random: inout Seeded) async {
        let number = Int.random(in: 1...5, using: &random)
        let (service, slice) = (
            service("s\(number)", number),
            slice("s\(number)", (1...4).filter { _ in Bool.random(using: &random) })
        )
        let event = Int.random(in: 0..<5, using: &random)
        await reconciler.update { state in
            switch event {
            case 0: state.removeService(service.name)
            case 1: state.removeEndpointSlice(slice.name)
            case 2: state.set(service)
            default: state.set(slice)
            }
        }
    }

    @Test(arguments: 0..<25 as Range<UInt64>)
    func `the changes add up to what the kernel has, whatever fails`(seed: UInt64) async throws {
        var random = Seeded(seed)
        var known: [String: ServicePlan]?
        for _ in 0..<60 {
            for _ in 0..<Int.random(in: 0...3, using: &random) { await change(&random) }
            let isFailing = Int.random(in: 0..<4, using: &random) == 0
            let isUnsure = Int.random(in: 0..<4, using: &random) == 0
            if isFailing { backend.fail(CommitError("refused", recovery: .retry)) }
            // The first sync, and one after a failure, is of everything.
            let scope: SyncPolicy.Scope =
                known == nil || isUnsure || !backend.isKnown ? .everything : .changes
            if let record = try? await reconciler.sync(scope) {
                #expect(record.isFirst == (known == nil))
                #expect(record.services == backend.plans.count)
                if known == nil { known = backend.plans }
                for change in record.changes.map(\.change) {
                    #expect(known?[change.service] == change.old)
                    known?[change.service] = change.new
                }
                backend.forgetFailures()
            }
            guard let known else { continue }
            #expect(known == backend.plans)
            for number in 1...5 {
                let name = ObjectName(namespace: "default", name: "s\(number)")
                let plan = await reconciler.withCommittedPlan(of: name) { $0 }
                #expect(plan == backend.plans[name.description])
            }
        }
    }

    @Test func `a change names its objects with their versions, and the times`() async throws {
        try await reconciler.sync()
        let start = clock.now
        let (web, slice) = (service("web", 1), slice("web", [1]))
        let list = ChangeOrigin(version: "40", isList: true, arrived: start)
        await reconciler.update(from: list) { $0.set(web) }
        clock.advance(by: .milliseconds(5))
        let event = ChangeOrigin(version: "41", arrived: clock.now)
        await reconciler.update(from: event) { $0.set(slice) }
        // It concerns no Service.
        await reconciler.update(from: event) { $0.set(self.slice("other", [2])) }
        clock.advance(by: .milliseconds(1))
        backend.fail(CommitError("refused", recovery: .retry))
        await #expect(throws: CommitError.self) { try await reconciler.sync(.changes) }
        let removal = ChangeOrigin(version: "42", arrived: clock.now)
        await reconciler.update(from: removal) { $0.removeEndpointSlice(slice.name) }
        clock.advance(by: .milliseconds(2))
        let record = try await reconciler.sync()
        #expect(record.changes.count == 1 && record.ended == clock.now)
        let change = try #require(record.changes.first)
        #expect(change.change.old == nil && change.change.new != nil)
        #expect(change.compiled == clock.now)
        #expect(
            change.causes == [
                ChangeCause(.service, web.name, of: web.name, list),
                ChangeCause(.endpointSlice, slice.name, of: web.name, event),
                ChangeCause(.endpointSlice, slice.name, of: web.name, isRemoval: true, removal),
            ]
        )
        let next = try await reconciler.sync(.changes)
        #expect(next.changes.isEmpty)
    }

    @Test func `a change that meets another program's is told with the refusal`() async throws {
        try await reconciler.sync()
        let web = service("web", 1)
        await reconciler.update { $0.set(web) }
        backend.fail(CommitError("tampered", recovery: .rereadKernel))
        let record = try await reconciler.sync(.changes)
        #expect(record.isFull && record.refusal == "tampered")
        #expect(record.changes.map(\.change.service) == ["default/web"])
    }

    @Test func `what changes about the node is told once, with the sync that takes it`()
        async throws
    {
        try await reconciler.sync()
        var node = Node(name: "here")
        (node.zone, node.addresses) = ("zone-a", [ip("192.0.2.1")])
        await reconciler.update { [node] in $0.set(node) }
        let record = try await reconciler.sync(.changes)
        #expect(
            record.nodeChanges == [
                "zone none -> zone-a", "NodePort addresses +192.0.2.1",
                "primary addresses +192.0.2.1", "addresses +192.0.2.1",
            ]
        )
        #expect(try await reconciler.sync(.changes).nodeChanges.isEmpty)
    }
}
