/// A value of an object that cannot be used; the rest of the object can.
package struct FieldProblem: Error, Sendable, Hashable {
    /// The path, as in `spec.ports[0].port`.
    package let field: String
    package let reason: String

    package init(_ field: String, _ reason: String) {
        self.field = field
        self.reason = reason
    }
}

extension FieldProblem: CustomStringConvertible {
    package var description: String { "\(field): \(reason)" }
}
