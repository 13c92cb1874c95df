/// A value in an object that cannot be used, although the rest of the object can.
package struct FieldProblem: Error, Sendable, Hashable {
    /// The path of the field, as in `spec.ports[0].port`; empty if several fields are meant.
    package let field: String
    package let reason: String
    /// The number of unusable values that this problem stands for.
    package let count: Int

    package init(_ field: String, _ reason: String, count: Int = 1) {
        self.field = field
        self.reason = reason
        self.count = count
    }

    /// Makes the problem that counts the unusable values beyond the first few.
    package static func more(_ count: Int) -> FieldProblem {
        FieldProblem("", "and \(count) more values that cannot be used as written", count: count)
    }
}

extension FieldProblem: CustomStringConvertible {
    package var description: String { field.isEmpty ? reason : "\(field): \(reason)" }
}
