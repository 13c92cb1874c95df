package import ServicePlan

/// The plans of everything, of which the first can be programmed before the others are known.
package struct PlanSupply: Sendable {
    /// The plans for which others wait, in the order of need.
    package let first: [ServicePlan]
    /// Returns the changes that lead from the first plans to all of them, in the order of need.
    package let rest: @Sendable () -> [PlanChange]
    /// Returns all plans, as they are in the end.
    package let all: @Sendable () -> [ServicePlan]
    /// To be called with the number of plans that the kernel holds, whenever it has grown.
    package let programmed: @Sendable (Int) -> Void

    package init(
        first: [ServicePlan],
        rest: @escaping @Sendable () -> [PlanChange],
        all: @escaping @Sendable () -> [ServicePlan],
        programmed: @escaping @Sendable (Int) -> Void
    ) {
        (self.first, self.rest, self.all) = (first, rest, all)
        self.programmed = programmed
    }

    /// Makes a supply of plans that are all known.
    package init(_ plans: [ServicePlan]) {
        self.init(first: plans, rest: { [] }, all: { plans }, programmed: { _ in })
    }
}

extension Backend {
    package func adopt(
        _ plans: [ServicePlan],
        node: NodeFacts
    ) async throws(CommitError) -> CommitReport {
        try await adopt(PlanSupply(plans), node: node)
    }
}
