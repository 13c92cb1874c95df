/// The replacement of a Service's plan by a new one.
package struct PlanChange: Sendable, Hashable {
    /// The Service's `namespace/name`.
    package let service: String
    /// The plan that was in force before; nil if there was none.
    package let old: ServicePlan?
    /// The plan that takes effect; nil if the Service is gone.
    package var new: ServicePlan?

    package init(_ service: String, old: ServicePlan?, new: ServicePlan?) {
        (self.service, self.old, self.new) = (service, old, new)
    }
}
