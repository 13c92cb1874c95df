package import KubernetesModel
internal import NetworkTypes
package import ServicePlan

/// Who owns each frontend when several Services claim it: the oldest, and among equally old ones
/// the first by name.
///
/// Costs what a plan has frontends, whatever the number of Services.
package struct FrontendClaims: Sendable {
    private struct Claim {
        var service: ObjectName
        var createdAt: Int64

        func precedes(_ other: Claim) -> Bool {
            (createdAt, service) < (other.createdAt, other.service)
        }
    }

    private var owners: [FrontendKey: Claim] = [:]
    /// Those that lost, by key; most clusters have none.
    private var losers: [FrontendKey: [Claim]] = [:]
    private var claimed: [ObjectName: (createdAt: Int64, keys: [FrontendKey])] = [:]

    package init() {}

    /// Replaces the claims of a Service with those of its new plan, and takes the frontends out of
    /// the plan that another Service owns.
    ///
    /// Returns the Services whose own plans must be resolved again because ownership moved.
    package mutating func resolve(
        _ plan: inout ServicePlan?,
        of service: ObjectName,
        createdAt: Int64?
    ) -> (affected: Set<ObjectName>, diagnostics: [Diagnostic]) {
        // An object without a timestamp is one that is only about to be created.
        let claim = Claim(service: service, createdAt: createdAt ?? .max)
        let keys =
            plan.map { $0.frontends.map(\.key) + $0.forwardedPorts.map(\.key) } ?? []
        // A Service that was deleted and created again between two looks at it is a younger one.
        let isSame = claimed[service]?.createdAt == claim.createdAt
        var affected = release(service, keeping: isSame ? keys : [])
        for key in keys { affected.formUnion(acquire(key, claim)) }
        claimed[service] = keys.isEmpty ? nil : (claim.createdAt, keys)
        affected.remove(service)

        var diagnostics: [Diagnostic] = []
        guard !losers.isEmpty else { return (affected, []) }
        for key in keys {
            guard let owner = owners[key], owner.service != service else { continue }
            diagnostics.append(
                Diagnostic(
                    "Service \(service)",
                    FieldProblem(
                        "spec",
                        "\(key) belongs to the older Service \(owner.service) and is not programmed"
                    )
                )
            )
        }
        let lost = Set(keys.filter { owners[$0].map { $0.service != service } ?? false })
        plan?.frontends.removeAll { lost.contains($0.key) }
        plan?.forwardedPorts.removeAll { lost.contains($0.key) }
        return (affected, diagnostics)
    }

    /// Gives up what the Service no longer claims; returns the Services that inherit.
    private mutating func release(
        _ service: ObjectName,
        keeping keys: [FrontendKey]
    ) -> Set<ObjectName> {
        guard let old = claimed[service]?.keys, old != keys else { return [] }
        let kept = Set(keys)
        var heirs: Set<ObjectName> = []
        for key in old where !kept.contains(key) {
            losers[key]?.removeAll { $0.service == service }
            if losers[key]?.isEmpty == true { losers[key] = nil }
            guard owners[key]?.service == service else { continue }
            owners[key] = nil
            guard var waiting = losers[key], let heir = waiting.min(by: { $0.precedes($1) })
            else { continue }
            waiting.removeAll { $0.service == heir.service }
            losers[key] = waiting.isEmpty ? nil : waiting
            owners[key] = heir
            heirs.insert(heir.service)
        }
        return heirs
    }

    /// Enters the claim; returns the Service that loses the frontend by it.
    private mutating func acquire(_ key: FrontendKey, _ claim: Claim) -> Set<ObjectName> {
        guard let owner = owners[key], owner.service != claim.service else {
            owners[key] = claim
            return []
        }
        losers[key, default: []].removeAll { $0.service == claim.service }
        if claim.precedes(owner) {
            owners[key] = claim
            losers[key]?.append(owner)
            return [owner.service]
        }
        losers[key]?.append(claim)
        return []
    }
}
