import Reconciler
import Testing

@Suite struct SyncPolicyTests {
    private func synced(at now: ContinuousClock.Instant) -> SyncPolicy {
        var policy = SyncPolicy()
        #expect(policy.next(at: now) == .sync(.everything))
        policy.onStart()
        policy.onSuccess(.everything)
        #expect(policy.next(at: now) == .idle)
        return policy
    }

    @Test func `a change is synced alone, and what comes meanwhile after it`() {
        let now = ContinuousClock.now
        var policy = synced(at: now)
        policy.onChange()
        #expect(policy.next(at: now) == .sync(.changes))
        policy.onStart()
        policy.onChange()
        policy.onSuccess(.changes)
        #expect(policy.next(at: now) == .sync(.changes))
    }

    @Test func `single repairs are made at once`() {
        var now = ContinuousClock.now
        var policy = synced(at: now)
        for _ in 0..<100 {
            #expect(policy.onForeignChange(at: now) == .zero)
            #expect(policy.next(at: now) == .sync(.everything))
            policy.onSuccess(.everything)
            policy.onRepair(at: now, took: .milliseconds(50))
            now += .seconds(1)
        }
    }

    @Test func `a flush loop gets one repair a second, in a fifth of the time at most`() {
        for (cost, pause) in [(Duration.milliseconds(20), 1.0), (.seconds(2), 8)] {
            var now = ContinuousClock.now
            var policy = synced(at: now)
            let start = now
            var repairs = 0
            while now < start + .seconds(1000) {
                let delay = policy.onForeignChange(at: now)
                if delay > .zero { #expect(policy.next(at: now) == .wait(until: now + delay)) }
                now += delay
                #expect(policy.next(at: now) == .sync(.everything))
                now += cost
                policy.onSuccess(.everything)
                policy.onRepair(at: now, took: cost)
                repairs += 1
            }
            #expect(repairs <= 1000 / Int(pause) + 20, "\(repairs)")
        }
    }

    @Test func `damage does not shorten the pause of a failure`() {
        let now = ContinuousClock.now
        var policy = synced(at: now)
        for _ in 0..<4 { _ = policy.onFailure(at: now, took: .milliseconds(1)) }
        _ = policy.onForeignChange(at: now)
        policy.onReread(at: now)
        #expect(policy.next(at: now) == .wait(until: now + .milliseconds(800)))
    }

    @Test func `changes bring a failed attempt forward, but not to more than half of the time`() {
        var now = ContinuousClock.now
        var policy = synced(at: now)
        for _ in 0..<20 {
            _ = policy.onFailure(at: now, took: .milliseconds(70))
            policy.onChange()
            #expect(policy.next(at: now) == .wait(until: now + .milliseconds(70)))
            now += .milliseconds(70)
            #expect(policy.next(at: now) == .sync(.everything))
            policy.onStart()
            now += .milliseconds(70)
        }
        #expect(policy.onFailure(at: now, took: .milliseconds(70)) == .seconds(30))
        #expect(policy.next(at: now) == .wait(until: now + .seconds(30)))
    }
}
