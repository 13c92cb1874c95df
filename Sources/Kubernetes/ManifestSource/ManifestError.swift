package import KubernetesModel

/// The reason why a manifest could not be used.
package struct ManifestError: Error, Sendable, Hashable {
    package let file: String
    /// The line, counted from 1; nil if unknown.
    package var line: Int?
    /// What is wrong; it names a field if the text could be parsed.
    package var problem: FieldProblem

    package init(file: String, line: Int?, problem: FieldProblem) {
        self.file = file
        self.line = line
        self.problem = problem
    }
}

extension ManifestError: CustomStringConvertible {
    /// Text such as `web.yaml:12: items[0].spec.ports[0].port: is not a whole number`.
    package var description: String {
        let place = line.map { "\(file):\($0)" } ?? file
        return problem.field.isEmpty ? "\(place): \(problem.reason)" : "\(place): \(problem)"
    }
}
