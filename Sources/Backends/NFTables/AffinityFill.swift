package import NetworkTypes

/// Decides when to warn that the affinity map of a family is almost full.
package struct AffinityFill: Sendable {
    package static let limit = Int(SetDefinition(.affinity).size ?? 0)
    private var isHigh: Set<IPFamily> = []
    /// The number of entries at the last reading, for kernels that do not report the number
    /// themselves.
    package var lastSeen: [IPFamily: Int] = [:]

    package init() {}

    package mutating func isWorthAWarning(_ count: Int, _ family: IPFamily) -> Bool {
        if count < Self.limit / 2 { isHigh.remove(family) }
        return count >= Self.limit / 5 * 4 && isHigh.insert(family).inserted
    }
}
