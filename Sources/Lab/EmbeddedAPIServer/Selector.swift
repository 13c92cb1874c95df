/// A label or field selector.
struct Selector: Sendable {
    private enum Requirement: Sendable {
        case exists(String)
        case absent(String)
        case equals(String, String)
        case differs(String, String)
        case oneOf(String, Set<Substring>, isNegated: Bool)

        var key: String {
            switch self {
            case .exists(let key), .absent(let key), .equals(let key, _), .differs(let key, _),
                .oneOf(let key, _, _):
                key
            }
        }
    }

    private let requirements: [Requirement]

    /// Parses a selector; nil if it is invalid.
    init?(_ text: String) {
        var requirements: [Requirement] = []
        for term in Self.terms(text) {
            guard let requirement = Self.requirement(term) else { return nil }
            requirements.append(requirement)
        }
        self.requirements = requirements
    }

    var keys: [String] { requirements.map(\.key) }

    /// Returns what has to hold of an object.
    ///
    /// - Parameter value: finds out how a key is read from an object, once for each key
    func tests<Object>(
        _ value: (String) -> (@Sendable (Object) -> String?)
    ) -> [@Sendable (Object) -> Bool] {
        requirements.map { requirement in
            let read = value(requirement.key)
            switch requirement {
            case .exists: return { read($0) != nil }
            case .absent: return { read($0) == nil }
            case .equals(_, let wanted): return { read($0) == wanted }
            case .differs(_, let unwanted): return { read($0) != unwanted }
            case .oneOf(_, let set, let isNegated):
                return { (read($0).map { set.contains($0[...]) } ?? false) != isNegated }
            }
        }
    }

    /// Splits the text at commas outside parentheses.
    private static func terms(_ text: String) -> [Substring] {
        var depth = 0
        return text.split { character in
            if character == "(" { depth += 1 }
            if character == ")" { depth -= 1 }
            return character == "," && depth == 0
        }
    }

    private static func requirement(_ term: Substring) -> Requirement? {
        for (word, isNegated) in [(" notin (", true), (" in (", false)] {
            guard let range = term.firstRange(of: word), term.hasSuffix(")") else { continue }
            let values = term[range.upperBound...].dropLast().split { $0 == "," || $0 == " " }
            return .oneOf(String(term[..<range.lowerBound]), Set(values), isNegated: isNegated)
        }
        if term.hasPrefix("!") {
            return isKey(term.dropFirst()) ? .absent(String(term.dropFirst())) : nil
        }
        for (sign, isNegated) in [("!=", true), ("==", false), ("=", false)] {
            guard let range = term.firstRange(of: sign) else { continue }
            let (key, value) = (
                String(term[..<range.lowerBound]), String(term[range.upperBound...])
            )
            guard isKey(key[...]) else { return nil }
            return isNegated ? .differs(key, value) : .equals(key, value)
        }
        return isKey(term) ? .exists(String(term)) : nil
    }

    private static func isKey(_ text: Substring) -> Bool {
        !text.isEmpty
            && text.allSatisfy { $0.isLetter || $0.isNumber || "-_./".contains($0) }
    }
}
