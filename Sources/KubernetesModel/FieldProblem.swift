/// A value of an object that cannot be used; the rest of the object can.
package struct FieldProblem: Error, Sendable, Hashable {
    /// The path, as in `spec.ports[0].port`; empty for what stands for several fields.
    package let field: String
    package let reason: String
    /// How many values it stands for.
    package let count: Int

    package init(_ field: String, _ reason: String, count: Int = 1) {
        self.field = field
        self.reason = reason
        self.count = count
    }

    /// What is left when the first few of many are told.
    package static func more(_ count: Int) -> FieldProblem {
        FieldProblem("", "and \(count) more values that cannot be used as written", count: count)
    }
}

extension FieldProblem: CustomStringConvertible {
    package var description: String { field.isEmpty ? reason : "\(field): \(reason)" }
}
