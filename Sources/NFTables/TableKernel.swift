package import NetworkTypes

/// The nf_tables of one network namespace, as far as needletail's tables need it.
///
/// A node's is behind netlink; that of tests is in memory.
package protocol TableKernel: AnyObject {
    /// Asks for the generation in force: each transaction of any program raises it by one.
    func generation() throws(TableFault) -> UInt32

    /// Reads the table of a family.
    func contents(
        _ family: IPFamily,
        _ variant: Program.Variant
    ) throws(TableFault) -> TableContents

    /// Commits all of these changes or none.
    ///
    /// - Parameter generation: what the changes were computed against; `staleGeneration` is thrown if
    ///   another one is in force
    func commit(
        _ changes: [TableTransaction],
        at generation: UInt32
    ) throws(TableFault) -> CommitReceipt

    /// What other programs have done since this was asked last, as far as the kernel has told.
    func news() -> RulesetNews

    /// Waits until there may be news.
    func wait(milliseconds: Int32)
}

/// What a transaction changes in one table.
package struct TableTransaction: Sendable {
    /// The program that is in force afterwards.
    package let program: Program
    package let changes: Changeset

    package init(program: Program, changes: Changeset) {
        (self.program, self.changes) = (program, changes)
    }
}

package struct CommitReceipt: Sendable {
    package let bytes: Int
    /// The generation in force afterwards.
    package let generation: UInt32
    /// Whether others have committed behind this, of whom there will be no news.
    package let missesOthers: Bool

    package init(bytes: Int, generation: UInt32, missesOthers: Bool = false) {
        (self.bytes, self.generation, self.missesOthers) = (bytes, generation, missesOthers)
    }
}

/// What other programs have done to the ruleset.
package struct RulesetNews: Sendable, Hashable {
    /// Those that their transactions have led to.
    package var generations: [UInt32] = []
    /// Whether they have touched one of our tables; or nobody knows, since notifications were lost.
    package var touchesTables = false
    /// Whether they may have touched what is forwarded.
    package var touchesForwarding = false

    package init() {}
}

/// Why the tables could not be read or changed.
package enum TableFault: Error, Sendable {
    /// The tables are no longer what they were when they were read.
    case tampered
    /// Another program has committed something since the generation was asked for.
    case staleGeneration
    /// The kernel has no room for so large a transaction.
    case tooLarge
    case refused(Refusal)

    package struct Refusal: Sendable, Hashable {
        /// What was attempted, and the kernel's answer.
        package let text: String
        /// Whether this process lacks the privilege.
        package let isPrivilege: Bool

        package init(_ text: String, isPrivilege: Bool = false) {
            (self.text, self.isPrivilege) = (text, isPrivilege)
        }
    }
}

/// Follows the generation of the ruleset, and notices when others touch our tables.
///
/// A foreign change elsewhere costs a look at its notification, and nothing is read back.
package struct GenerationLedger: Sendable {
    /// The last generation that notifications, or our own commits, have told of.
    package private(set) var known: UInt32 = 0
    /// Others have changed one of our tables, or notifications were lost.
    package private(set) var isTampered = false
    private var isForwardingTouched = false

    package init() {}

    /// Forgets everything before a generation, whose contents are about to be read.
    mutating func restart(at generation: UInt32, _ kernel: any TableKernel) {
        take(kernel.news())
        known = generation
        isTampered = false
    }

    mutating func committed(_ receipt: CommitReceipt) {
        known = receipt.generation
        guard receipt.missesOthers else { return }
        (isTampered, isForwardingTouched) = (true, true)
    }

    /// A commit of ours was taken whatever generation was in force: others may have come between, and
    /// their notifications tell of them.
    mutating func committedBlindly(_ kernel: any TableKernel) throws(TableFault) {
        advance(to: try kernel.generation())
    }

    package mutating func take(_ news: RulesetNews) {
        for generation in news.generations { advance(to: generation) }
        isTampered = isTampered || news.touchesTables
        isForwardingTouched = isForwardingTouched || news.touchesForwarding
    }

    /// Whether what is forwarded may have changed since this was asked last.
    package mutating func takeForwardingTouch() -> Bool {
        defer { isForwardingTouched = false }
        return isForwardingTouched
    }

    /// Waits until the news have told of the generation in force; a second at most.
    mutating func catchUp(_ kernel: any TableKernel) throws(TableFault) {
        let generation = try kernel.generation()
        for _ in 0..<100 {
            take(kernel.news())
            if Int32(bitPattern: known &- generation) >= 0 { return }
            kernel.wait(milliseconds: 10)
        }
        // Its notification was lost, and with it whatever it has changed.
        (known, isTampered) = (generation, true)
    }

    /// Notifications that were queued may tell of an older one.
    private mutating func advance(to generation: UInt32) {
        if Int32(bitPattern: generation &- known) > 0 { known = generation }
    }
}
