package import KubernetesModel

/// Why a manifest could not be used.
package struct ManifestError: Error, Sendable, Hashable {
    package let file: String
    /// Counted from 1; nil if it is not known.
    package var line: Int?
    /// The field, if the text could be read at all.
    package var problem: FieldProblem

    package init(file: String, line: Int?, problem: FieldProblem) {
        self.file = file
        self.line = line
        self.problem = problem
    }
}

extension ManifestError: CustomStringConvertible {
    /// Like `web.yaml:12: items[0].spec.ports[0].port: is not a whole number`.
    package var description: String {
        let place = line.map { "\(file):\($0)" } ?? file
        return problem.field.isEmpty ? "\(place): \(problem.reason)" : "\(place): \(problem)"
    }
}
