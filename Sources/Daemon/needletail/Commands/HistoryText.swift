internal import Glibc
internal import NetworkTypes
internal import Observability

/// The lines of `needletail history`.
enum HistoryText {
    /// Returns an entry as `TIME KIND WHAT (WHY; HOW LONG)`.
    static func line(_ entry: HistoryDocument.Entry) -> String {
        let kind = word(entry.kind)
        var text = "\(time(entry.at)) \(kind.padded(to: 10))"
        if let service = entry.service { text += "\(service): " }
        text += entry.text
        var reasons: [String] = []
        if let objects = entry.objects, !objects.isEmpty {
            reasons.append(objects.map(self.text).joined(separator: ", "))
        }
        if let milliseconds = entry.milliseconds {
            reasons.append("API to kernel \(rounded(milliseconds)) ms")
        }
        if !reasons.isEmpty { text += " (\(reasons.joined(separator: "; ")))" }
        return text.printable
    }

    private static func text(_ object: HistoryDocument.Object) -> String {
        var text = "\(object.kind) \(object.name)"
        if object.isDeleted == true { text += " deleted" }
        guard let version = object.resourceVersion else { return text }
        return text
            + (object.isFromList == true ? " of the list at version \(version)" : " \(version)")
    }

    private static func word(_ kind: HistoryDocument.Entry.Kind) -> String {
        switch kind {
        case .began: "started"
        case .change: "changed"
        case .refused: "REFUSED"
        case .foreignChange: "FOREIGN"
        case .repaired: "repaired"
        case .corrected: "corrected"
        case .node: "node"
        }
    }

    /// Returns a time with milliseconds, from one with microseconds.
    static func time(_ text: String) -> String {
        guard text.hasSuffix("Z"), text.count > 20 else { return text }
        return text.dropLast(4) + "Z"
    }

    /// Returns a number with one digit after the point.
    private static func rounded(_ milliseconds: Double) -> String {
        "\((milliseconds * 10).rounded() / 10)"
    }

    /// Checks a name that becomes part of a URL.
    static func serviceParameter(_ text: String) throws -> String {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let isName = { (part: Substring) in
            !part.isEmpty
                && part.utf8.allSatisfy {
                    switch Unicode.Scalar($0) {
                    case "a"..."z", "A"..."Z", "0"..."9", "-", ".": true
                    default: false
                    }
                }
        }
        guard parts.count == 2, parts.allSatisfy(isName) else {
            throw Failure("\"\(text)\" is not NAMESPACE/NAME of a Service", status: EX_USAGE)
        }
        return text
    }
}
