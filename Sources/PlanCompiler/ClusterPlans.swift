package import KubernetesModel
package import ServicePlan

/// The plans of all Services, kept up to date one Service at a time.
package struct ClusterPlans: Sendable {
    /// A Service with its slices, as they are now; nil: it is gone.
    package typealias Input = (service: Service, slices: [EndpointSlice])

    package private(set) var plans: [ObjectName: ServicePlan] = [:]
    package private(set) var diagnostics: [ObjectName: [Diagnostic]] = [:]
    /// How many Services have a traffic policy Local without endpoints here.
    package private(set) var localGaps: [LocalGap: Int] = [:]
    private var claims = FrontendClaims()

    package init() {}

    /// Compiles some Services anew; returns those whose plans changed.
    ///
    /// - Parameter input: looks up any Service, since others may inherit or lose a frontend
    package mutating func update(
        _ services: some Sequence<ObjectName>,
        for node: NodeView,
        input: (ObjectName) -> Input?
    ) -> [(service: String, plan: ServicePlan?)] {
        let compiler = PlanCompiler(node: node)
        var changed: [ObjectName: ServicePlan?] = [:]
        // Claims move to ever older Services, so this ends.
        var pending = Array(services)
        while let name = pending.popLast() {
            let input = input(name)
            var (plan, found) = input.map { compiler.compile($0.service, $0.slices) } ?? (nil, [])
            let ownership = claims.resolve(&plan, of: name, createdAt: input?.service.createdAt)
            pending += ownership.affected
            found += ownership.diagnostics
            diagnostics[name] = found.isEmpty ? nil : found
            guard plans[name] != plan else { continue }
            for gap in plans[name]?.localGaps ?? [] { localGaps[gap, default: 0] -= 1 }
            for gap in plan?.localGaps ?? [] { localGaps[gap, default: 0] += 1 }
            plans[name] = plan
            changed[name] = .some(plan)
        }
        return changed.map { ($0.key.description, $0.value) }
    }
}
