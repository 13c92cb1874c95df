/// The counts of how often each number of the program is used.
package struct RuleNumberUsage: Sendable, Hashable {
    package var poolSizes: NumberUsage
    package var localPoolSizes: NumberUsage
    package var affinityTimeouts: NumberUsage
    package var sourceLengths: NumberUsage

    package init(_ listed: ProgramNumbers = .init()) {
        poolSizes = NumberUsage(listed: listed.poolSizes)
        localPoolSizes = NumberUsage(listed: listed.localPoolSizes)
        affinityTimeouts = NumberUsage(listed: listed.affinityTimeouts)
        sourceLengths = NumberUsage(listed: listed.sourceLengths)
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
