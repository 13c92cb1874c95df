/// The numbers that occur in rules, the only part of the program that depends on the Services.
package struct ProgramNumbers: Sendable, Hashable {
    /// Pool sizes in slots; packets try them in this order, the most used sizes first.
    package var poolSizes: [UInt32] = []
    package var localPoolSizes: [UInt32] = []
    /// Affinity timeouts in seconds; each has its own chain.
    package var affinityTimeouts: [UInt32] = []
    /// Prefix lengths of source ranges, the most used first; each has its own set.
    package var sourceLengths: [UInt32] = []

    package init() {}
}

/// Keeps a list of numbers in rules up to date with how often each number is used.
///
/// Every number in use must have a rule. The order of the rules only affects speed, so rules move
/// only when they are clearly misplaced. A few unused numbers may stay, because pools change their
/// size back and forth during a rollout.
package struct NumberUsage: Sendable, Hashable {
    private var users: [UInt32: Int] = [:]
    /// The numbers that have rules, in the order of the rules.
    package private(set) var listed: [UInt32]
    private var isListed: Set<UInt32>

    /// - Parameter areInUse: whether the listed numbers have more users than can be counted
    package init(listed: [UInt32] = [], areInUse: Bool = false) {
        self.listed = listed
        isListed = Set(listed)
        guard areInUse else { return }
        for number in listed { users[number] = 1 << 32 }
    }

    package mutating func add(_ number: UInt32, _ count: Int = 1) {
        let total = users[number, default: 0] + count
        users[number] = total == 0 ? nil : total
    }

    package enum Change: Sendable, Hashable {
        case none
        case append([UInt32])
        /// All rules of the chain are replaced in one transaction, so that no packet misses a rule.
        case replace([UInt32])
    }

    /// Updates the list, and returns what must change in the rules.
    package mutating func settle() -> Change {
        let missing = users.keys.filter { !isListed.contains($0) }.sorted(by: precedes)
        let unused = listed.count { users[$0] == nil }
        guard unused <= 4, !isMisordered(listed + missing) else {
            listed = users.keys.sorted(by: precedes)
            isListed = Set(listed)
            return .replace(listed)
        }
        guard !missing.isEmpty else { return .none }
        listed += missing
        isListed.formUnion(missing)
        return .append(missing)
    }

    private func precedes(_ left: UInt32, _ right: UInt32) -> Bool {
        let (leftUsers, rightUsers) = (users[left] ?? 0, users[right] ?? 0)
        return leftUsers != rightUsers ? leftUsers > rightUsers : left < right
    }

    /// Whether a number comes after one that is used less than half as often.
    private func isMisordered(_ order: [UInt32]) -> Bool {
        var fewest = Int.max
        for number in order {
            let count = users[number] ?? 0
            if fewest != .max, count > 2 * fewest + 16 { return true }
            fewest = min(fewest, count)
        }
        return false
    }
}
