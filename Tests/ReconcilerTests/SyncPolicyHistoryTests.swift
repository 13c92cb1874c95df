import Reconciler
import TestSupport
import Testing

/// Syncs in the time of a simulation, with changes, damage and failures at any moment.
private struct Simulation {
    typealias Instant = ContinuousClock.Instant

    struct Attempt {
        let scope: SyncPolicy.Scope
        let start: Instant
        let end: Instant
        let succeeded: Bool
        let hadChanges: Bool
        let wasRepair: Bool
    }

    var random: Seeded
    var policy = SyncPolicy()
    var now = ContinuousClock.now
    private(set) var attempts: [Attempt] = []
    private var hasChanges = false
    private var damagedSince: Instant?
    private(set) var longestDamage = Duration.zero

    init(seed: UInt64) { random = Seeded(seed) }

    mutating func change() {
        policy.onChange()
        hasChanges = true
    }

    /// Returns how long the repair waits.
    mutating func damage() -> Duration {
        damagedSince = damagedSince ?? now
        return policy.onForeignChange(at: now)
    }

    /// Does what is due at this moment.
    mutating func work(duration: Duration, fails: Bool) {
        while case .sync(let scope) = policy.next(at: now) {
            policy.onStart()
            let (start, hadChanges) = (now, hasChanges)
            hasChanges = false
            now += duration
            let isRepair = scope == .everything && damagedSince != nil && !fails
            if fails {
                _ = policy.onFailure(at: now, took: duration)
            } else {
                policy.onSuccess(scope)
                if isRepair { policy.onRepair(at: now, took: duration) }
            }
            if isRepair, let since = damagedSince {
                longestDamage = max(longestDamage, now - since)
                damagedSince = nil
            }
            attempts.append(
                Attempt(
                    scope: scope,
                    start: start,
                    end: now,
                    succeeded: !fails,
                    hadChanges: hadChanges,
                    wasRepair: isRepair
                )
            )
            // What failed is still to be done.
            if fails { return }
        }
    }
}

@Suite struct SyncPolicyHistoryTests {
    private func start(_ simulation: inout Simulation) {
        simulation.change()
        simulation.work(duration: .milliseconds(5), fails: false)
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `a change is committed at once, whatever repairs wait`(seed: UInt64) {
        var simulation = Simulation(seed: seed)
        start(&simulation)
        for _ in 0..<300 {
            simulation.now += .milliseconds(Int.random(in: 0...300, using: &simulation.random))
            if Bool.random(using: &simulation.random) { _ = simulation.damage() }
            if Bool.random(using: &simulation.random) {
                simulation.change()
                let moment = simulation.now
                let count = simulation.attempts.count
                simulation.work(duration: .milliseconds(10), fails: false)
                let first = simulation.attempts[count...].first
                #expect(first?.start == moment && first?.hadChanges == true)
            } else {
                simulation.work(duration: .milliseconds(10), fails: false)
            }
        }
    }

    // At most ten at once, then one a second, in a fifth of the time.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func `a flush loop costs no more repairs than there are seconds, whatever comes between`(
        seed: UInt64
    ) {
        var simulation = Simulation(seed: seed)
        start(&simulation)
        let took = Duration.milliseconds(Int.random(in: 1...800, using: &simulation.random))
        for _ in 0..<2000 {
            _ = simulation.damage()
            if Int.random(in: 0..<10, using: &simulation.random) == 0 { simulation.change() }
            simulation.work(duration: took, fails: false)
            simulation.now += .milliseconds(Int.random(in: 1...60, using: &simulation.random))
        }
        let repairs = simulation.attempts.filter(\.wasRepair)
        let pause = max(.seconds(1), took * 4)
        for (index, repair) in repairs.enumerated() {
            for later in repairs[index...].dropFirst(10) {
                let between = repairs.count { $0.start > repair.start && $0.end <= later.end }
                #expect(Double(between) <= 10 + (later.end - repair.start) / pause)
            }
        }
        // Nobody waits for a repair for longer than a pause and what is under way.
        #expect(simulation.longestDamage <= pause + took * 3 + .milliseconds(60))
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `a kernel that refuses everything gets half of the time at most, and less and less`(
        seed: UInt64
    ) {
        var simulation = Simulation(seed: seed)
        start(&simulation)
        for _ in 0..<500 {
            let took = Duration.milliseconds(Int.random(in: 1...400, using: &simulation.random))
            simulation.change()
            simulation.work(duration: took, fails: true)
            simulation.now += .milliseconds(Int.random(in: 0...50, using: &simulation.random))
        }
        let failed = simulation.attempts.filter { !$0.succeeded }
        for (attempt, next) in zip(failed.dropFirst(), failed.dropFirst(2)) {
            // A first failure is tried again after a tenth of a second; later ones not sooner.
            let pause = next.start - attempt.end
            #expect(pause >= min(.milliseconds(100), attempt.end - attempt.start))
            #expect(next.scope == .everything)
        }
    }

    @Test func `without changes failures are tried again ever later, up to half a minute`() {
        var simulation = Simulation(seed: 0)
        simulation.change()
        simulation.work(duration: .milliseconds(1), fails: true)
        var pauses: [Duration] = []
        for _ in 0..<12 {
            guard case .wait(let moment) = simulation.policy.next(at: simulation.now) else {
                Issue.record("nothing is awaited")
                return
            }
            pauses.append(moment - simulation.now)
            simulation.now = moment
            simulation.work(duration: .milliseconds(1), fails: true)
        }
        #expect(pauses.first == .milliseconds(100) && pauses.last == .seconds(30))
        for (pause, next) in zip(pauses, pauses.dropFirst()) {
            #expect(next == min(pause * 2, .seconds(30)))
        }
    }

    @Test func `when everything is done there is nothing to wait for`() {
        var simulation = Simulation(seed: 0)
        start(&simulation)
        #expect(simulation.policy.next(at: simulation.now) == .idle)
        #expect(simulation.damage() == .zero)
        simulation.work(duration: .milliseconds(1), fails: false)
        #expect(simulation.attempts.last?.wasRepair == true)
        #expect(simulation.policy.next(at: simulation.now) == .idle)
    }
}
