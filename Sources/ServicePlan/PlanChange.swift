/// A Service's plan that takes the place of another.
package struct PlanChange: Sendable, Hashable {
    /// The Service's `namespace/name`.
    package let service: String
    /// What was in force before; nil: nothing of the Service was.
    package let old: ServicePlan?
    /// Nil: the Service is gone.
    package var new: ServicePlan?

    package init(_ service: String, old: ServicePlan?, new: ServicePlan?) {
        (self.service, self.old, self.new) = (service, old, new)
    }
}
