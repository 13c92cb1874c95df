internal import Containers
package import KubernetesModel
package import ServicePlan

/// The plans of all Services, updated one Service at a time.
package struct ClusterPlans: Sendable {
    /// The present state of a Service and its slices.
    package typealias Input = (service: Service, slices: [EndpointSlice])

    /// The result of compiling some Services.
    package struct Update: Sendable {
        package let changes: [PlanChange]
        /// The Services whose diagnostics may have changed: the compiled ones and their rivals.
        package let diagnosed: Set<ObjectName>
    }

    private var compiled = DenseMap<ObjectName, ServicePlan>()
    package private(set) var diagnostics: [ObjectName: [Diagnostic]] = [:]
    /// The number of Services that have a traffic policy Local but no endpoints on this node.
    package private(set) var localGaps: [LocalGap: Int] = [:]
    private var claims = FrontendClaims()
    /// The part of `diagnostics` that does not depend on other Services.
    private var ownDiagnostics: [ObjectName: [Diagnostic]] = [:]

    package init() {}

    package var plans: some Collection<ServicePlan> { compiled.values }

    package var count: Int { compiled.count }

    package func plan(of service: ObjectName) -> ServicePlan? { compiled[service] }

    /// Compiles some Services again.
    ///
    /// - Parameters:
    /// - continuing: whether the claims of these Services are as old as those of the last update
    /// - input: looks up any Service, or returns nil if it is gone; other Services may inherit or lose
    /// a frontend
    package mutating func update(
        _ services: some Sequence<ObjectName>,
        for node: NodeView,
        continuing: Bool = false,
        input: (ObjectName) -> Input?
    ) -> Update {
        let compiler = PlanCompiler(node: node)
        var changed: [ObjectName: PlanChange] = [:]
        var diagnosed: Set<ObjectName> = []
        if !continuing { claims.beginRound() }
        // Claims only ever move to Services with precedence, so this loop ends.
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
            guard compiled[name] != plan else { continue }
            for gap in compiled[name]?.localGaps ?? [] { localGaps[gap, default: 0] -= 1 }
            for gap in plan?.localGaps ?? [] { localGaps[gap, default: 0] += 1 }
            // A Service may be compiled several times in one update; the first old plan counts.
            changed[name, default: PlanChange(name.description, old: compiled[name], new: nil)]
                .new =
                plan
            compiled[name] = plan
        }
        diagnosed.formUnion(claims.takeTouched())
        for name in diagnosed {
            let all = (ownDiagnostics[name] ?? []) + claims.conflicts(of: name)
            diagnostics[name] = all.isEmpty ? nil : all
        }
        return Update(changes: Array(changed.values), diagnosed: diagnosed)
    }
}
