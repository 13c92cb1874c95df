/// The reason why text cannot be read as YAML.
package struct YAMLError: Error, Sendable, Hashable, CustomStringConvertible {
    package let reason: String
    /// The line, counted from 1; nil if unknown.
    package let line: Int?

    package init(_ reason: String, line: Int?) { (self.reason, self.line) = (reason, line) }

    package var description: String { line.map { "\(reason) in line \($0)" } ?? reason }
}
