/// What a lookup of one key gives.
package enum Finding: Sendable, Hashable {
    case missing
    case found(Ruleset.Value)
    /// Nobody can tell, for this reason.
    case unknown(String)
}

/// Answers lookups: the model's own sets, or a real kernel, which is asked for single elements.
package protocol ElementSource {
    func find(_ key: [UInt8], in set: String, of table: Ruleset.TableID) -> Finding
}

extension Ruleset: ElementSource {
    package func find(_ key: [UInt8], in set: String, of table: TableID) -> Finding {
        guard let set = tables[table]?.sets[set] else { return .unknown("there is no set \(set)") }
        return set.find(key).map { .found($0.value) } ?? .missing
    }
}

extension Ruleset.ElementSet {
    /// The element that has the key, or whose range it is in.
    package func find(_ key: [UInt8]) -> Ruleset.Element? {
        guard isInterval else { return elements[key] }
        return elements.first { start, element in
            !key.lexicographicallyPrecedes(start)
                && !(element.keyEnd ?? start).lexicographicallyPrecedes(key)
        }?.value
    }
}
