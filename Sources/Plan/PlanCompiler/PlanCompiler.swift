package import KubernetesModel
package import ServicePlan

/// Compiles one Service and its EndpointSlices into a plan; it has no side effects.
package struct PlanCompiler: Sendable {
    package let node: NodeView

    package init(node: NodeView) { self.node = node }

    /// Returns the plan of the Service, or nil if this proxy does not serve the Service.
    ///
    /// Invalid values never cause an error: they are left out and reported, the first few of them
    /// by name.
    package func compile(
        _ service: Service,
        _ slices: some Sequence<EndpointSlice>
    ) -> (plan: ServicePlan?, diagnostics: [Diagnostic]) {
        guard !service.belongsToOtherProxy, service.type != .externalName, !service.isHeadless
        else {
            return (nil, [])
        }
        var draft = PlanDraft(service: service, slices: Array(slices), node: node)
        draft.compile()
        return (draft.plan, draft.diagnostics)
    }
}

extension Service {
    /// Whether the Service has `spec.clusterIP: None`, or no cluster IP (yet).
    fileprivate var isHeadless: Bool { clusterIPs.isEmpty }
}
