package import KubernetesModel
package import ServicePlan

/// The plans of all Services, kept up to date one Service at a time.
package struct ClusterPlans: Sendable {
    /// A Service with its slices, as they are now; nil: it is gone.
    package typealias Input = (service: Service, slices: [EndpointSlice])

    /// What compiling some Services brought.
    package struct Update: Sendable {
        package let changes: [PlanChange]
        /// The Services whose diagnostics may have changed: those, and whom they met.
        package let diagnosed: Set<ObjectName>
    }

    package private(set) var plans: [ObjectName: ServicePlan] = [:]
    package private(set) var diagnostics: [ObjectName: [Diagnostic]] = [:]
    /// How many Services have a traffic policy Local without endpoints here.
    package private(set) var localGaps: [LocalGap: Int] = [:]
    private var claims = FrontendClaims()
    /// Those of `diagnostics` that do not depend on other Services.
    private var ownDiagnostics: [ObjectName: [Diagnostic]] = [:]

    package init() {}

    /// Compiles some Services anew.
    ///
    /// - Parameter input: looks up any Service, since others may inherit or lose a frontend
    package mutating func update(
        _ services: some Sequence<ObjectName>,
        for node: NodeView,
        input: (ObjectName) -> Input?
    ) -> Update {
        let compiler = PlanCompiler(node: node)
        var changed: [ObjectName: PlanChange] = [:]
        var diagnosed: Set<ObjectName> = []
        claims.beginRound()
        // Claims move to ever better ones, so this ends.
        var pending = Array(services)
        while let name = pending.popLast() {
            let input = input(name)
            var (plan, found) = input.map { compiler.compile($0.service, $0.slices) } ?? (nil, [])
            pending += claims.resolve(
                &plan,
                of: name,
                createdAt: input?.service.createdAt,
                healthCheckAddresses: node.nodePortAddresses
            )
            ownDiagnostics[name] = found.isEmpty ? nil : found
            diagnosed.insert(name)
            guard plans[name] != plan else { continue }
            for gap in plans[name]?.localGaps ?? [] { localGaps[gap, default: 0] -= 1 }
            for gap in plan?.localGaps ?? [] { localGaps[gap, default: 0] += 1 }
            // A Service may be compiled several times.
            changed[name, default: PlanChange(name.description, old: plans[name], new: nil)].new =
                plan
            plans[name] = plan
        }
        diagnosed.formUnion(claims.takeTouched())
        for name in diagnosed {
            let all = (ownDiagnostics[name] ?? []) + claims.conflicts(of: name)
            diagnostics[name] = all.isEmpty ? nil : all
        }
        return Update(changes: Array(changed.values), diagnosed: diagnosed)
    }
}
