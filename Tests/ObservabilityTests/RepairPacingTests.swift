import Syncer
import Testing

@Suite struct RepairPacingTests {
    @Test func `single repairs are made at once`() {
        var policy = SyncPolicy()
        var now = ContinuousClock.now
        for _ in 0..<100 {
            #expect(policy.onForeignChange(at: now) == .zero)
            policy.onRepair(at: now, took: .milliseconds(50))
            policy.onSuccess()
            now += .seconds(1)
        }
    }

    @Test func `a flush loop gets one repair a second, in a fifth of the time at most`() {
        for (cost, pause) in [(Duration.milliseconds(20), 1.0), (.seconds(2), 8)] {
            var policy = SyncPolicy()
            var now = ContinuousClock.now
            let start = now
            var repairs = 0
            while now < start + .seconds(1000) {
                now += policy.onForeignChange(at: now) + cost
                policy.onRepair(at: now, took: cost)
                repairs += 1
            }
            #expect(repairs <= 1000 / Int(pause) + 20, "\(repairs)")
            #expect(policy.nextScope == .everything)
        }
    }
}

@Suite struct WarningBudgetTests {
    @Test func `a namespace has so many warnings a minute, and others have theirs`() {
        var budget = WarningBudget()
        let start = ContinuousClock.now
        let verdicts = (0..<1000).map { _ in budget.spend("tenant", at: start) }
        #expect(verdicts.count { $0 == .tell } == WarningBudget.limit - 1)
        #expect(verdicts.firstIndex(of: .tellAsLast) == WarningBudget.limit - 1)
        #expect(verdicts.last == .leaveOut)
        #expect(budget.spend("other", at: start) == .tell)
        #expect(budget.spend("tenant", at: start + .seconds(59)) == .leaveOut)
        #expect(budget.spend("tenant", at: start + .seconds(60)) == .tell)
    }
}
