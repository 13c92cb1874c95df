import NetworkTypes
import Reconciler
import ServicePlan
import TestSupport
import Testing

/// Services, small and large, whose frontends move between them.
private struct MovingServices {
    private static let pools: [Pool] = [3, 2000, 2001].map { count in
        Pool(
            (0..<count).map {
                Endpoint(IPAddress(ipv4: 0x0A01_0000 + UInt32($0)), 80, isLocal: false)
            }
        )
    }

    var random: Seeded
    private var owners: [UInt16: Int] = [:]
    private var sizes: [Int: Int] = [:]
    private(set) var plans: [String: ServicePlan] = [:]

    init(seed: UInt64) { random = Seeded(seed) }

    mutating func next() -> [PlanChange] {
        for port in 1...6 as ClosedRange<UInt16> where Int.random(in: 0..<6, using: &random) == 0 {
            let owner = Int.random(in: 0..<6, using: &random)
            owners[port] = owner < 5 ? owner : nil
        }
        let service = Int.random(in: 0..<5, using: &random)
        // The first two Services are always small.
        sizes[service] = service < 2 ? 0 : Int.random(in: 0..<3, using: &random)
        return (0..<5).compactMap { service in
            let name = "test/s\(service)"
            let (old, new) = (plans[name], plan(service))
            plans[name] = new
            return old == new ? nil : PlanChange(name, old: old, new: new)
        }
    }

    private func plan(_ service: Int) -> ServicePlan? {
        let ports = owners.filter { $0.value == service }.keys.sorted()
        guard !ports.isEmpty else { return nil }
        return ServicePlan(
            service: "test/s\(service)",
            frontends: ports.map {
                Frontend(
                    key: FrontendKey(ip("10.96.0.1"), .tcp, $0),
                    kind: .clusterIP,
                    portName: "",
                    action: .balance(pool: 0),
                    masquerade: .nonPods
                )
            },
            pools: [Self.pools[sizes[service] ?? 0]]
        )
    }
}

@Suite struct CommitQueueHistoryTests {
    private let start = ContinuousClock.now

    /// Commits a batch as a backend does that holds each frontend once.
    private func commit(
        _ changes: [PlanChange],
        _ committed: inout [String: ServicePlan],
        newest: [String: ServicePlan]
    ) {
        #expect(Set(changes.map(\.service)).count == changes.count)
        for change in changes {
            #expect(change.old == committed[change.service])
            #expect(change.new == newest[change.service])
        }
        for change in changes { committed[change.service] = change.new }
        let keys = committed.values.flatMap(\.frontends).map(\.key)
        #expect(Set(keys).count == keys.count, "a frontend of two Services")
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func `every change is committed once, in its newest form, from what was committed last`(
        seed: UInt64
    ) {
        var services = MovingServices(seed: seed)
        var queue = CommitQueue()
        var committed: [String: ServicePlan] = [:]
        var now = start
        for _ in 0..<120 {
            now += .milliseconds(Int.random(in: 0...400, using: &services.random))
            let changes = Bool.random(using: &services.random) ? services.next() : []
            if Int.random(in: 0..<15, using: &services.random) == 0 {
                // A commit failed, and everything was adopted.
                queue.removeAll()
                committed = services.plans
                #expect(queue.due(at: now) == nil)
                continue
            }
            let batch = queue.next(changes, at: now)
            commit(batch.changes, &committed, newest: services.plans)
            if batch.isLarge { queue.onCommit(at: now, took: .milliseconds(300)) }
        }
        // What waits comes one after the other, when the queue says.
        var rounds = 0
        while let due = queue.due(at: now) {
            let batch = queue.next([], at: due)
            #expect(batch.isLarge && !batch.changes.isEmpty)
            commit(batch.changes, &committed, newest: services.plans)
            queue.onCommit(at: due, took: .milliseconds(300))
            (now, rounds) = (due, rounds + 1)
            guard rounds < 10 else { break }
        }
        #expect(committed == services.plans)
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func `small changes never wait`(seed: UInt64) {
        var services = MovingServices(seed: seed)
        var queue = CommitQueue()
        var waiting: Set<String> = []
        for step in 0..<100 {
            let changes = services.next()
            let batch = queue.next(changes, at: start + .milliseconds(10 * step))
            let taken = Set(batch.changes.map(\.service))
            waiting.subtract(taken)
            // Those that wait are the three that may be large.
            waiting.formUnion(changes.map(\.service).filter { !taken.contains($0) })
            #expect(waiting.isDisjoint(with: ["test/s0", "test/s1"]))
        }
    }
}

@Suite struct WarningBudgetTests {
    private let start = ContinuousClock.now

    @Test func `a namespace has so many warnings a minute, and the last says so`() {
        var budget = WarningBudget(limit: 60)
        let verdicts = (0..<100).map { _ in budget.spend("shop", at: start) }
        #expect(verdicts.prefix(59).allSatisfy { $0 == .tell })
        #expect(verdicts[59] == .tellAsLast)
        #expect(verdicts.dropFirst(60).allSatisfy { $0 == .leaveOut })
    }

    @Test func `namespaces have budgets of their own, and new ones after a minute`() {
        var budget = WarningBudget(limit: 60)
        for _ in 0..<60 { _ = budget.spend("noisy", at: start) }
        #expect(budget.spend("quiet", at: start) == .tell)
        #expect(budget.spend("noisy", at: start + .seconds(59)) == .leaveOut)
        #expect(budget.spend("noisy", at: start + .seconds(60)) == .tell)
        // The minute began with the first warning, and another has begun.
        #expect(budget.spend("noisy", at: start + .seconds(119)) == .tell)
    }
}

@Suite struct APIServerAddressesTests {
    @Test func `the last sixteen addresses are known`() {
        let addresses = APIServerAddresses()
        for number in 1...20 as ClosedRange<UInt32> {
            addresses.add(IPAddress(ipv4: 0xC000_0200 + number), 6443)
        }
        addresses.add(ip("192.0.2.20"), 6443)
        #expect(
            addresses.all
                == Set((5...20).map { FrontendKey(ip("192.0.2.\($0)"), .tcp, 6443) })
        )
    }
}
