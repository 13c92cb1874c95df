/// Why a text is not YAML that can be read.
package struct YAMLError: Error, Sendable, Hashable, CustomStringConvertible {
    package let reason: String
    /// The first line is 1; nil: unknown.
    package let line: Int?

    package init(_ reason: String, line: Int?) { (self.reason, self.line) = (reason, line) }

    package var description: String { line.map { "\(reason) in line \($0)" } ?? reason }
}
