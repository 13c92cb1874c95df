internal import Containers
package import KubernetesModel
package import NetworkTypes
package import ServicePlan

/// Decides which Service owns an address and port that several Services claim.
///
/// A claim that the API server allots (cluster IP, NodePort, health check node port) wins over any
/// other. Otherwise the longest-standing claim wins, so that nobody loses a frontend to a Service
/// that is edited. Among claims of the same round, as all are after a start, the oldest Service
/// wins, then the first by name. The order in which Services of one round are resolved does not
/// matter.
///
/// The cost depends on the number of frontends in a plan, not on the number of Services.
package struct FrontendClaims: Sendable {
    fileprivate enum Purpose {
        case frontend(Frontend.Kind)
        case healthCheck
    }

    private struct Claim {
        let service: ObjectName
        let createdAt: Int64
        let purpose: Purpose
        /// The round in which the Service began to claim this key.
        var round: Int

        var isAllotted: Bool {
            switch purpose {
            case .frontend(.clusterIP), .frontend(.nodePort), .healthCheck: true
            case .frontend(.externalIP), .frontend(.loadBalancerVIP): false
            }
        }

        func precedes(_ other: Claim) -> Bool {
            guard isAllotted == other.isAllotted else { return isAllotted }
            return (round, createdAt, service) < (other.round, other.createdAt, other.service)
        }
    }

    private var owners = DenseMap<FrontendKey, Claim>()
    /// The claims that lost; most clusters have none.
    private var losers: [FrontendKey: [ObjectName: Claim]] = [:]
    private var claimed = DenseMap<ObjectName, (createdAt: Int64, keys: [FrontendKey])>()
    private var round = 0
    /// The Services that won or lost a key and must be resolved again.
    private var moved: Set<ObjectName> = []
    /// The Services whose `conflicts` may have changed.
    private var touched: Set<ObjectName> = []

    package init() {}

    /// Begins a round, whose claims come after those of earlier rounds.
    package mutating func beginRound() { round += 1 }

    /// Replaces the claims of a Service with those of its new plan.
    ///
    /// Frontends that another Service owns are removed from the plan. Returns the Services whose
    /// plans must be resolved again because ownership moved.
    ///
    /// - Parameter healthCheckAddresses: the addresses on which health checks are answered
    package mutating func resolve(
        _ plan: inout ServicePlan?,
        of service: ObjectName,
        createdAt: Int64?,
        healthCheckAddresses: [IPAddress]
    ) -> Set<ObjectName> {
        // An object without a timestamp has yet to be created.
        let createdAt = createdAt ?? .max
        var claims = (plan?.frontends ?? []).map { ($0.key, Purpose.frontend($0.kind)) }
        claims += (plan?.forwardedPorts ?? []).map { ($0.key, .frontend(.nodePort)) }
        let checks = (plan?.healthCheck?.port).map { port in
            healthCheckAddresses.map { FrontendKey($0, .tcp, port) }
        }
        claims += (checks ?? []).map { ($0, .healthCheck) }
        // A Service that was deleted and created again between two updates is a different one.
        let isSame = claimed[service]?.createdAt == createdAt
        let keys = claims.map(\.0)
        release(service, keeping: isSame ? keys : [])
        for (key, purpose) in claims {
            enter(
                Claim(service: service, createdAt: createdAt, purpose: purpose, round: round),
                key
            )
        }
        claimed[service] = keys.isEmpty ? nil : (createdAt, keys)
        if !losers.isEmpty {
            plan?.frontends.removeAll { owners[$0.key]?.service != service }
            plan?.forwardedPorts.removeAll { owners[$0.key]?.service != service }
        }
        if let checks, !checks.allSatisfy({ isHealthCheck($0, of: service) }) {
            plan?.healthCheck = nil
        }
        defer { moved = [] }
        return moved.subtracting([service])
    }

    private func isHealthCheck(_ key: FrontendKey, of service: ObjectName) -> Bool {
        guard let owner = owners[key], owner.service == service, case .healthCheck = owner.purpose
        else { return false }
        return true
    }

    /// Releases the keys that the Service no longer claims.
    private mutating func release(_ service: ObjectName, keeping keys: [FrontendKey]) {
        guard let old = claimed[service]?.keys, old != keys else { return }
        let kept = Set(keys)
        for key in old where !kept.contains(key) {
            if owners[key]?.service == service {
                owners[key] = nil
                elect(key)
            } else if losers[key]?.removeValue(forKey: service) != nil {
                if losers[key]?.isEmpty == true { losers[key] = nil }
                if let owner = owners[key] { touched.insert(owner.service) }
            }
        }
    }

    private mutating func enter(_ claim: Claim, _ key: FrontendKey) {
        var claim = claim
        guard let owner = owners[key] else {
            owners[key] = claim
            return
        }
        if owner.service == claim.service {
            claim.round = owner.round
            owners[key] = claim
            if owner.isAllotted != claim.isAllotted { elect(key) }
        } else {
            claim.round = losers[key]?[claim.service]?.round ?? claim.round
            losers[key, default: [:]][claim.service] = claim
            touched.formUnion([claim.service, owner.service])
            if claim.precedes(owner) { elect(key) }
        }
    }

    /// Gives a contested key to the claim that takes precedence.
    private mutating func elect(_ key: FrontendKey) {
        guard var waiting = losers[key], let first = waiting.values.min(by: { $0.precedes($1) })
        else { return }
        if let owner = owners[key] {
            guard first.precedes(owner) else { return }
            waiting[owner.service] = owner
            moved.insert(owner.service)
        }
        waiting[first.service] = nil
        moved.insert(first.service)
        touched.formUnion(waiting.keys)
        touched.insert(first.service)
        owners[key] = first
        losers[key] = waiting.isEmpty ? nil : waiting
    }
}

// MARK: - Reports to owners and losers

extension FrontendClaims {
    /// Returns the Services whose `conflicts` may have changed since the last call.
    package mutating func takeTouched() -> Set<ObjectName> {
        defer { touched = [] }
        return touched
    }

    /// The keys that a Service lost to others, and its own keys that others claim.
    package func conflicts(of service: ObjectName) -> [Diagnostic] {
        guard !losers.isEmpty, let keys = claimed[service]?.keys else { return [] }
        var list = DiagnosticList(of: "Service \(service)")
        for key in keys {
            guard let others = losers[key], let owner = owners[key] else { continue }
            if owner.service == service {
                guard let rival = others.values.min(by: { $0.precedes($1) }) else { continue }
                list.add(
                    .conflict(service, owner.purpose.field, won(key, from: rival, of: others.count))
                )
            } else if let own = others[service] {
                list.add(.conflict(service, own.purpose.field, lost(key, own, to: owner)))
            }
        }
        return list.all
    }

    private func won(_ key: FrontendKey, from rival: Claim, of count: Int) -> String {
        let others = count > 1 ? " and \(count - 1) more want" : " wants"
        return
            "Service \(rival.service)\(others) \(key), too, as \(rival.purpose.name); it stays with"
            + " this Service"
    }

    private func lost(_ key: FrontendKey, _ own: Claim, to owner: Claim) -> String {
        let outcome =
            switch own.purpose {
            case .frontend: "is not programmed for this Service"
            case .healthCheck: "this Service's health check is not answered"
            }
        let why =
            if owner.isAllotted != own.isAllotted {
                "is \(owner.purpose.name) of Service \(owner.service), which nobody can take"
            } else if owner.round != own.round {
                "was in use by Service \(owner.service) before"
            } else if owner.createdAt != own.createdAt {
                "belongs to the older Service \(owner.service)"
            } else {
                "belongs to Service \(owner.service), as old as this one and first by name"
            }
        return "\(key) \(why), and \(outcome); choose another address or port"
    }
}

extension FrontendClaims.Purpose {
    fileprivate var field: String {
        switch self {
        case .frontend(let kind): kind.field
        case .healthCheck: "spec.healthCheckNodePort"
        }
    }

    fileprivate var name: String {
        switch self {
        case .frontend(.clusterIP): "the cluster IP"
        case .frontend(.nodePort): "a NodePort"
        case .frontend(.externalIP): "an external IP"
        case .frontend(.loadBalancerVIP): "a load balancer VIP"
        case .healthCheck: "the health check node port"
        }
    }
}

extension Diagnostic {
    fileprivate static func conflict(
        _ service: ObjectName,
        _ field: String,
        _ text: String
    ) -> Diagnostic {
        Diagnostic("Service \(service)", FieldProblem(field, text), event: .frontendConflict)
    }
}
