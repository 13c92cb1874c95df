/// The counts of how often each number of the program is used.
package struct RuleNumberUsage: Sendable, Hashable {
    package var poolSizes: NumberUsage
    package var localPoolSizes: NumberUsage
    package var affinityTimeouts: NumberUsage
    package var sourceLengths: NumberUsage

    /// - Parameter areInUse: whether the listed numbers have more users than can be counted
    package init(_ listed: ProgramNumbers = .init(), areInUse: Bool = false) {
        poolSizes = NumberUsage(listed: listed.poolSizes, areInUse: areInUse)
        localPoolSizes = NumberUsage(listed: listed.localPoolSizes, areInUse: areInUse)
        affinityTimeouts = NumberUsage(listed: listed.affinityTimeouts, areInUse: areInUse)
        sourceLengths = NumberUsage(listed: listed.sourceLengths, areInUse: areInUse)
    }

    package var numbers: ProgramNumbers {
        var numbers = ProgramNumbers()
        numbers.poolSizes = poolSizes.listed
        numbers.localPoolSizes = localPoolSizes.listed
        numbers.affinityTimeouts = affinityTimeouts.listed
        numbers.sourceLengths = sourceLengths.listed
        return numbers
    }
}
