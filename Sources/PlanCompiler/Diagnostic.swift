package import KubernetesModel

/// Something about an object that was left out or read otherwise than written; the rest of the
/// object is in force.
package struct Diagnostic: Sendable, Hashable {
    /// Like `Service default/web`.
    package let object: String
    package let problem: FieldProblem

    package init(_ object: String, _ problem: FieldProblem) {
        self.object = object
        self.problem = problem
    }
}

extension Diagnostic: CustomStringConvertible {
    package var description: String { "\(object): \(problem)" }
}
