@testable import IPVS
import ModelSupport
import NetworkTypes
import ServicePlan
import TestSupport

/// What virtual servers must do: written from `ServicePlan` alone, without a look at the servers.
struct ServerOracle {
    /// The scheduler of Services that name none.
    static let scheduler = "rr"

    let frontends: [FrontendKey: (frontend: Frontend, plan: ServicePlan)]

    init(_ plans: some Sequence<ServicePlan>) {
        var frontends: [FrontendKey: (frontend: Frontend, plan: ServicePlan)] = [:]
        for plan in plans {
            for frontend in plan.frontends { frontends[frontend.key] = (frontend, plan) }
        }
        self.frontends = frontends
    }

    /// Destinations and their weights; those with weight 0 get no new connections.
    struct Expectation {
        var scheduler: String
        var affinity: UInt32?
        var weights: [Destination.ID: Int]

        var open: [Destination.ID: Int] { weights.filter { $0.value > 0 } }
        var isDraining: Bool { open.count < weights.count }
        var isHash: Bool { scheduler == "sh" || scheduler == "mh" }
        var countsWeights: Bool { scheduler != "rr" && scheduler != "lc" }

        /// A hash that falls on a destination that drains looks for another one, so that shares
        /// are not those of the weights.
        var isUneven: Bool { isHash && isDraining && !open.isEmpty }

        var answer: ModelIPVS.Answer {
            ModelIPVS.Answer(
                shares: ModelIPVS.Answer.reduced(countsWeights ? open : open.mapValues { _ in 1 }),
                refuses: open.isEmpty,
                avoidsLoad: open.count > 1 && (scheduler == "lc" || scheduler == "wlc"),
                splitsClients: open.count > 1 && affinity == nil && scheduler != "sh",
                memory: open.isEmpty ? nil : affinity.map(Int.init),
                kept: Set(weights.keys)
            )
        }

        func allows(_ answer: ModelIPVS.Answer) -> Bool {
            var answer = answer
            if isUneven, Set(answer.shares.keys) == Set(open.keys) {
                answer.shares = self.answer.shares
            }
            return answer == self.answer
        }
    }

    /// Returns what clients from outside must see; nil if no virtual server may be there.
    func expectation(_ key: FrontendKey) -> Expectation? {
        guard let (frontend, plan) = frontends[key] else { return nil }
        let pools = plan.pools(of: frontend)
        let pool: Pool? = if case .split = frontend.action { pools.local } else { pools.cluster }
        guard let pool else { return nil }
        var weights: [Destination.ID: Int] = [:]
        for endpoint in pool.draining { weights[endpoint.place] = 0 }
        for endpoint in pool.endpoints {
            weights[endpoint.place] = Int(plan.weights[endpoint.address] ?? 1)
        }
        return Expectation(
            scheduler: plan.scheduler ?? Self.scheduler,
            affinity: frontend.affinityTimeout,
            weights: weights
        )
    }

    func allows(_ kernel: ModelIPVS, at key: FrontendKey) -> Bool {
        switch (expectation(key), kernel.answer(key)) {
        case (nil, nil): true
        case (let expected?, let answer?): expected.allows(answer)
        default: false
        }
    }
}

/// Random plans with schedulers and weights, and packets to what they have and have not.
struct ServerSample {
    var random: Seeded
    private let everyPlan: [ServicePlan]
    private(set) var plans: [String: ServicePlan] = [:]
    private var table = ServerSample.emptyTable
    private(set) var kernel = ModelIPVS()
    private var now = 0.0

    static var emptyTable: ServerTable {
        ServerTable(BalancingDefaults(scheduler: ServerOracle.scheduler), drainTimeout: 30)
    }

    static let schedulers = ["rr", "wrr", "lc", "wlc", "sh", "mh"]

    init(seed: UInt64) throws {
        let cluster = try RandomCluster(
            seed: seed,
            .none,
            role: .policy,
            rounds: 6,
            isAlone: true
        )
        var random = Seeded(seed &+ 2)
        everyPlan = cluster.everyPlan.map { plan in
            var plan = plan
            plan.scheduler =
                ([nil] + Self.schedulers.map(Optional.some))
                .randomElement(using: &random) ?? nil
            guard Bool.random(using: &random) else { return plan }
            for endpoint in plan.pools.flatMap(\.endpoints) {
                plan.weights[endpoint.address] = UInt16.random(in: 0...3, using: &random)
            }
            return plan
        }
        self.random = random
        apply(everyPlan)
    }

    /// Applies the last plan of each Service.
    private mutating func apply(_ changed: [ServicePlan?], without service: String? = nil) {
        var new: [String: ServicePlan] = [:]
        for plan in changed { if let plan { new[plan.service] = plan } }
        var changes = new.map { PlanChange($0, old: plans[$0], new: $1) }
        if let service, new[service] == nil {
            changes.append(PlanChange(service, old: plans[service], new: nil))
        }
        for change in changes { plans[change.service] = change.new }
        kernel.perform(table.apply(changes, now: now))
    }

    /// Changes some Services at once, and lets some connections end.
    mutating func change() {
        now += 1
        let gone = Int.random(in: 0..<3, using: &random) == 0 ? plans.keys.sorted() : []
        apply(
            (0..<2).map { _ in everyPlan.randomElement(using: &random) },
            without: gone.randomElement(using: &random)
        )
        for key in table.drainingServers.sorted() where Bool.random(using: &random) { finish(key) }
    }

    /// Lets all connections end that are not to be kept any longer.
    mutating func settle() { for key in table.drainingServers { finish(key) } }

    private mutating func finish(_ key: FrontendKey) {
        let places = kernel.servers[key]?.targets.map(\.destination.id) ?? []
        let ended = places.map { ($0, ServerTable.Connections(active: 0)) }
        kernel.perform(
            table.finishDraining(
                key,
                connections: Dictionary(uniqueKeysWithValues: ended),
                now: now + 10
            )
        )
    }

    /// The keys of frontends, of what there was before, and of others beside them.
    var keys: [FrontendKey] {
        let known = Set(everyPlan.flatMap(\.frontends).map(\.key)).sorted()
        return known.flatMap { key in
            TransportProtocol.allCases.flatMap { transport in
                [key.port, key.port + 1].map { FrontendKey(key.address, transport, $0) }
            }
        }
    }
}
