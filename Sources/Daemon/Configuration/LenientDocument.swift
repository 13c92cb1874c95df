internal import YAML

/// The first document of a YAML text, read as Go's YAML library reads it when not strict.
///
/// A byte order mark is skipped, the last of several equal keys counts, and further documents are
/// not read. kube-proxy falls back to this when it cannot read v1alpha1 strictly
/// (`cmd/kube-proxy/app/server.go`, `newLenientSchemeAndCodecs`).
struct LenientDocument {
    let root: YAMLNode?
    /// The faults that a strict reader would refuse.
    private(set) var warnings: [ConfigurationProblem] = []

    /// The number of repeated keys that a warning names.
    private static let told = 10

    init(_ text: String) throws(ConfigurationProblem) {
        if text.unicodeScalars.first == "\u{FEFF}" {
            warnings.append(ConfigurationProblem("", "a byte order mark is ignored", line: 1))
        }
        let following: Int?
        do throws(YAMLError) {
            (root, following) = try YAMLReader.firstDocument(in: text)
        } catch {
            throw ConfigurationProblem("", "is no valid YAML: \(error)")
        }
        let superseded = root?.supersededKeys ?? []
        if !superseded.isEmpty {
            var keys = superseded.prefix(Self.told).map { "\($0.key.yaml) (line \($0.line))" }
            if superseded.count > Self.told { keys.append("\(superseded.count - Self.told) more") }
            warnings.append(
                ConfigurationProblem(
                    "",
                    "\(keys.joined(separator: ", ")): given again further down; the last one counts"
                )
            )
        }
        if let following {
            warnings.append(
                ConfigurationProblem("", "a second document is not read", line: following)
            )
        }
    }
}

extension YAMLNode {
    /// The entries of all maps whose key occurs again later in the same map, sorted by line.
    fileprivate var supersededKeys: [YAMLEntry] {
        var found: [YAMLEntry] = []
        if let mapping {
            var later: Set<String> = []
            for entry in mapping.reversed() where !later.insert(entry.key).inserted {
                found.append(entry)
            }
            for entry in mapping { found += entry.value.supersededKeys }
        }
        for element in sequence ?? [] { found += element.supersededKeys }
        return found.sorted { $0.line < $1.line }
    }
}
