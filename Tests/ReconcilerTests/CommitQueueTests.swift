import NetworkTypes
import ServicePlan
import Reconciler
import TestSupport
import Testing

@Suite struct CommitQueueTests {
    private func plan(_ name: String, _ host: Int, endpoints: Int) -> ServicePlan {
        ServicePlan(
            service: name,
            frontends: [
                Frontend(
                    key: FrontendKey(ip("10.96.0.\(host)"), .tcp, 80),
                    kind: .clusterIP,
                    portName: "",
                    action: .balance(pool: 0),
                    masquerade: .nonPods
                )
            ],
            pools: [
                Pool(
                    (0..<endpoints).map {
                        Endpoint(ip("10.1.\($0 / 250).\($0 % 250)"), 80, isLocal: false)
                    }
                )
            ]
        )
    }

    private let now = ContinuousClock.now

    @Test func `large changes come one at a time, with a pause after each`() {
        var queue = CommitQueue()
        let changes = ["a", "b"].enumerated().map {
            PlanChange($1, old: nil, new: plan($1, $0, endpoints: 2000))
        }
        #expect(queue.due(at: now) == nil)
        let first = queue.next(changes, at: now)
        #expect(first.isLarge && first.changes.map(\.service) == ["a"])
        queue.onCommit(at: now, took: .seconds(1))
        #expect(queue.due(at: now) == now + .seconds(1))
        #expect(queue.next([], at: now).changes.isEmpty)
        // A small change does not wait.
        let small = queue.next(
            [PlanChange("c", old: nil, new: plan("c", 9, endpoints: 2))],
            at: now
        )
        #expect(!small.isLarge && small.changes.map(\.service) == ["c"])
        let second = queue.next([], at: now + .seconds(1))
        #expect(second.isLarge && second.changes.map(\.service) == ["b"])
        #expect(queue.due(at: now) == nil)
    }

    @Test func `of a Service that waits the last plan counts`() {
        var queue = CommitQueue()
        let large = { (host: Int) in
            PlanChange("b", old: nil, new: plan("b", host, endpoints: 2000))
        }
        let blocker = PlanChange("a", old: nil, new: plan("a", 1, endpoints: 2000))
        _ = queue.next([blocker, large(2)], at: now)
        _ = queue.next([large(3)], at: now)
        let changes = queue.next([PlanChange("b", old: nil, new: nil)], at: now).changes
        #expect(changes.isEmpty || (changes.count == 1 && changes[0].new == nil))
    }

    @Test func `a frontend is let go and taken at the same time`() {
        var queue = CommitQueue()
        let old = plan("a", 1, endpoints: 2000)
        let blocker = PlanChange("x", old: nil, new: plan("x", 7, endpoints: 2000))
        let moved = PlanChange("a", old: old, new: plan("a", 2, endpoints: 2000))
        let first = queue.next(
            [blocker, moved],
            at: now
        )
        #expect(first.changes.map(\.service) == ["x"])
        queue.onCommit(at: now, took: .seconds(5))
        let heir = PlanChange("b", old: nil, new: plan("b", 1, endpoints: 1))
        let second = queue.next([heir], at: now)
        #expect(second.changes.map(\.service) == ["b", "a"] && second.isLarge)
    }

    @Test func `what moves from one large Service to another moves at once, and so on`() {
        for names in [["a", "b", "c"], ["c", "b", "a"]] {
            var queue = CommitQueue()
            let old = [
                "a": plan("a", 1, endpoints: 2000), "b": plan("b", 2, endpoints: 2000),
                "c": plan("c", 3, endpoints: 2000),
            ]
            // Each Service takes over the frontend that its successor had.
            let new = ["a": 2, "b": 3, "c": 4]
            let changes = names.map {
                PlanChange($0, old: old[$0], new: plan($0, new[$0] ?? 0, endpoints: 2000))
            }
            let first = queue.next(changes, at: now)
            let taken = first.changes.map(\.service)
            // A Service moves together with all those whose frontends it takes over.
            #expect(Set(taken).isSuperset(of: taken.contains("a") ? ["b", "c"] : ["c"]))
        }
    }

    @Test func `small changes without end do not put a large one off for ever`() {
        var queue = CommitQueue()
        let large = [
            PlanChange("x", old: nil, new: plan("x", 1, endpoints: 2000)),
            PlanChange("y", old: nil, new: plan("y", 2, endpoints: 2000)),
        ]
        _ = queue.next(large, at: now)
        queue.onCommit(at: now, took: .milliseconds(300))
        let small = [PlanChange("s", old: nil, new: plan("s", 9, endpoints: 1))]
        let early = queue.next(small, at: now + .milliseconds(500))
        #expect(early.changes.map(\.service) == ["s"] && !early.isLarge)
        let late = queue.next(small, at: now + .seconds(2))
        #expect(late.changes.map(\.service) == ["s", "y"] && late.isLarge)
    }

    @Test func `what was large is large while it goes`() {
        var queue = CommitQueue()
        let old = plan("a", 1, endpoints: 2000)
        let result = queue.next(
            [
                PlanChange("a", old: old, new: nil),
                PlanChange("b", old: nil, new: plan("b", 2, endpoints: 1)),
            ],
            at: now
        )
        #expect(result.changes.map(\.service) == ["b"])
        queue.removeAll()
        #expect(queue.due(at: now) == nil)
    }
}
