/// The only part of the program that depends on the Services: which numbers occur in rules.
package struct ProgramNumbers: Sendable, Hashable {
    /// Pool sizes in slots, most used first: a packet tries them in this order.
    package var poolSizes: [UInt32] = []
    package var localPoolSizes: [UInt32] = []
    /// Seconds; each has a chain.
    package var affinityTimeouts: [UInt32] = []
    /// Leading bits of source ranges, most used first; each has a set.
    package var sourceLengths: [UInt32] = []

    package init() {}
}

/// Keeps one list of numbers in rules in step with how often they are used.
///
/// A number that is in use has a rule. Beyond that the order only costs time, so rules move only
/// when they are clearly misplaced, and a few unused ones may stay: pools change their size
/// back and forth while pods roll.
package struct NumberUsage: Sendable, Hashable {
    private var users: [UInt32: Int] = [:]
    /// In rule order.
    package private(set) var listed: [UInt32]
    private var isListed: Set<UInt32>

    package init(listed: [UInt32] = []) {
        self.listed = listed
        isListed = Set(listed)
    }

    package mutating func add(_ number: UInt32, _ count: Int = 1) {
        let total = users[number, default: 0] + count
        users[number] = total == 0 ? nil : total
    }

    package enum Change: Sendable, Hashable {
        case none
        case append([UInt32])
        /// All rules of the chain are replaced; in the same transaction, so no packet misses one.
        case replace([UInt32])
    }

    /// What must happen to the rules now.
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

    /// Whether some number stands behind one that is used less than half as often.
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
