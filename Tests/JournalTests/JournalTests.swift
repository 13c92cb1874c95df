import Backend
@testable import Journal
import KubernetesModel
import NetworkTypes
import Reconciler
import ServicePlan
import TestSupport
import Testing

@Suite struct JournalTests {
    private let start = ContinuousClock.now

    @Test(arguments: 0..<6 as Range<UInt64>)
    func `the ring keeps the newest, in order, and never takes more memory`(seed: UInt64) {
        var random = Seeded(seed)
        var ring = JournalRing()
        var kept: [JournalRing] = []
        var time: Int64 = 0
        var highest = 0
        for round in 0..<4000 {
            let isLarge = Int.random(in: 0..<10, using: &random) == 0
            let size = Int.random(
                in: 0...(isLarge ? JournalRing.entryLimit : 600),
                using: &random
            )
            time += Int64.random(in: 0...1000, using: &random)
            ring.append(Array(repeating: UInt8(truncatingIfNeeded: round), count: size), at: time)
            highest = max(highest, ring.memory)
            // A reader's copy must not change with what is written later.
            if round % 1000 == 500 { kept.append(ring) }
        }
        #expect(highest <= JournalRing.limit && JournalRing.limit == 4 << 20)
        #expect(highest > 3 << 20, "it is used up")
        for ring in kept + [ring] { check(ring) }
        #expect(ring.next == 4000 && ring.count < 4000)
    }

    private func check(_ ring: JournalRing) {
        var numbers: [UInt64] = []
        var size = 0
        for chunk in ring.chunks {
            chunk.forEach { number, bytes in
                numbers.append(number)
                size += bytes.count + 4
                #expect(bytes.allSatisfy { $0 == UInt8(truncatingIfNeeded: number) })
                return true
            }
        }
        #expect(numbers.count == ring.count && size == ring.size)
        #expect(numbers == Array(ring.next - UInt64(ring.count)..<ring.next))
    }

    @Test(arguments: 0..<12 as Range<UInt64>)
    func `replayed backwards it gives the plan of each moment`(seed: UInt64) throws {
        var random = RandomPlans(seed: seed)
        let journal = Journal(epoch: start)
        var plans: [String: ServicePlan] = [:]
        for index in 0..<4 { plans["test/service-\(index)"] = random.fullPlan(index) }
        journal.synced(firstRecord(services: 4, at: start + .seconds(1)))
        var moments = [(start + .seconds(1), plans)]
        for round in 0..<120 {
            let moment = start + .seconds(2 + round)
            let index = Int.random(in: 0..<4, using: &random.random)
            let service = "test/service-\(index)"
            let old = plans[service]
            let new: ServicePlan? =
                switch round % 8 {
                case 0: nil
                case 1, 2: random.fullPlan(index)
                default: old.map { random.nudged($0) }
                }
            plans[service] = new
            journal.synced(record(PlanChange(service, old: old, new: new), at: moment))
            moments.append((moment, plans))
        }
        let view = journal.view
        for (moment, plans) in moments {
            for index in 0..<4 {
                let service = "test/service-\(index)"
                let now = moments[moments.count - 1].1[service]
                for slack in [Duration.zero, .milliseconds(500)] {
                    let past = try PastPlan(of: service, at: moment + slack, now: now, view)
                    #expect(past.plan == plans[service])
                    try checkBeginnings(past, of: service, moments, at: moment)
                }
            }
        }
        #expect(throws: PastPlan.Failure.beforeJournal) {
            try PastPlan(of: "test/service-0", at: start, now: nil, view)
        }
    }

    /// Compares since when the parts of a plan were there with all plans of the history.
    private func checkBeginnings(
        _ past: PastPlan,
        of service: String,
        _ moments: [(ContinuousClock.Instant, [String: ServicePlan])],
        at moment: ContinuousClock.Instant
    ) throws {
        let earlier = moments.filter { $0.0 <= moment }
        func since(_ holds: (ServicePlan) -> Bool) -> ContinuousClock.Instant? {
            let first = earlier.lastIndex { $0.1[service].map(holds) != true }
            return first.map { earlier[$0 + 1].0 }
        }
        for frontend in past.plan?.frontends ?? [] {
            #expect(
                past.frontendsSince[frontend.key] == since { $0.frontends.contains(frontend) }
            )
        }
        for endpoint in past.plan?.pools.flatMap(\.endpoints) ?? [] {
            let expected = since {
                $0.pools.contains { $0.endpoints.contains { $0.place == endpoint.place } }
            }
            #expect(past.endpointsSince[endpoint.place] == expected)
        }
    }

    private func plan(_ count: Int) -> ServicePlan {
        let endpoints = (0..<count).map {
            Endpoint(IPAddress(ipv4: 0x0A00_0000 + UInt32($0)), 80, isLocal: false)
        }
        return ServicePlan(service: "a/b", pools: [Pool(endpoints)])
    }

    @Test func `a change too large to be kept is told as one`() throws {
        let journal = Journal(epoch: start)
        journal.synced(firstRecord(services: 1, at: start))
        let large = start + .seconds(1)
        journal.synced(record(PlanChange("a/b", old: plan(1), new: plan(20_000)), at: large))
        let small = start + .seconds(2)
        journal.synced(record(PlanChange("a/b", old: plan(20_000), new: plan(19_999)), at: small))
        let view = journal.view
        #expect(try PastPlan(of: "a/b", at: large, now: plan(19_999), view).plan == plan(20_000))
        #expect(throws: PastPlan.Failure.tooLargeChange(at: large)) {
            try PastPlan(of: "a/b", at: start, now: plan(19_999), view)
        }
        #expect(throws: PastPlan.Failure.mismatch) {
            try PastPlan(of: "a/b", at: large, now: plan(20_000), view)
        }
    }

    @Test func `a moment between a foreign change and its repair is told as one`() throws {
        let journal = Journal(epoch: start)
        journal.synced(firstRecord(services: 1, at: start))
        journal.foreignChange(.table, repairAfter: .zero)
        var repair = SyncRecord()
        (repair.isFull, repair.isRepair) = (true, true)
        (repair.report.objectsChanged, repair.ended) = (3, .now + .seconds(10))
        journal.synced(repair)
        let view = journal.view
        let within = ContinuousClock.now + .seconds(1)
        let past = try PastPlan(of: "a/b", at: within, now: plan(1), view)
        #expect(past.damage?.content == .foreignChange(.table, pause: .zero))
        #expect(past.later.count == 1 && past.plan == plan(1))
        let after = try PastPlan(of: "a/b", at: repair.ended, now: plan(1), view)
        #expect(after.damage == nil && after.later.isEmpty)
    }

    @Test func `what is gone from the journal is not known`() throws {
        let journal = Journal(epoch: start)
        journal.synced(firstRecord(services: 1, at: start))
        // Each change takes about 20 KiB.
        for round in 0..<600 {
            let (old, new) = round % 2 == 0 ? (plan(0), plan(2500)) : (plan(2500), plan(0))
            journal.synced(
                record(PlanChange("a/b", old: old, new: new), at: start + .seconds(1 + round))
            )
        }
        let view = journal.view
        let since = try #require(view.since)
        #expect(since > start && since < start + .seconds(600))
        #expect(try PastPlan(of: "a/b", at: since, now: plan(0), view).plan != nil)
        #expect(throws: PastPlan.Failure.beforeJournal) {
            try PastPlan(of: "a/b", at: since - .nanoseconds(1), now: plan(0), view)
        }
    }

    @Test func `pages are of one Service and of what concerns all`() {
        let journal = Journal(epoch: start)
        journal.synced(firstRecord(services: 2, at: start))
        let change = PlanChange("a/b", old: plan(0), new: plan(1))
        journal.synced(record(change, at: start + .seconds(1), version: "41"))
        let other = PlanChange("a/c", old: nil, new: ServicePlan(service: "a/c"))
        journal.synced(record(other, at: start + .seconds(2)))
        journal.foreignChange(.table, repairAfter: .zero)
        var repair = SyncRecord()
        (repair.isFull, repair.isRepair, repair.report.objectsChanged) = (true, true, 3)
        journal.synced(repair)
        journal.failed(
            SyncFailure(
                CommitError("no room", recovery: .retry),
                retryAfter: .seconds(1),
                waiting: ["a/b"],
                waitingCount: 4
            )
        )
        // It is told once.
        journal.failed(
            SyncFailure(CommitError("no room", recovery: .retry), retryAfter: .seconds(2))
        )
        let view = journal.view
        let all = view.page(limit: 100)
        #expect(all.entries.map(\.number) == Array(0..<6) && all.next == 6)
        let some = view.page(service: "a/b", limit: 100)
        #expect(some.entries.map(\.number) == [0, 1, 3, 4, 5])
        guard case .change(let kept) = some.entries[1].content else {
            Issue.record("\(some.entries[1])")
            return
        }
        #expect(kept.causes == [.init(.endpointSlice, "b-1", version: "41")])
        #expect(kept.arrivedBefore == .milliseconds(3) && kept.compiledBefore == .milliseconds(1))
        #expect(some.entries[1].time == start + .seconds(1))
        #expect(some.entries[2].content == .foreignChange(.table, pause: .zero))
        let work = JournalEntry.Work(added: 0, removed: 0, objects: 3, servers: 0)
        #expect(some.entries[3].content == .repaired(work))
        #expect(
            some.entries[4].content
                == .refused("no room", waiting: ["a/b"], count: 4, pause: .seconds(1))
        )
        let first = view.page(limit: 2)
        #expect(first.entries.map(\.number) == [0, 1] && first.next == 2)
        #expect(view.page(from: 2, limit: 2).entries.map(\.number) == [2, 3])
        #expect(view.page(from: 6, limit: 2).entries.isEmpty)
        let late = view.page(since: start + .seconds(2), limit: 100)
        #expect(late.entries.first?.number == 2)
    }
}
