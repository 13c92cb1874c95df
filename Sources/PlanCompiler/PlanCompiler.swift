package import KubernetesModel
package import ServicePlan

/// Turns one Service and its EndpointSlices into its plan; pure, so it runs anywhere.
package struct PlanCompiler: Sendable {
    package let node: NodeView

    package init(node: NodeView) { self.node = node }

    /// The plan of the Service, or nil if it is none of this proxy's business.
    ///
    /// Bad values never fail: they are left out and reported, the first few of them by name.
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
    /// `spec.clusterIP: None`, or no cluster IP (yet).
    fileprivate var isHeadless: Bool { clusterIPs.isEmpty }
}
