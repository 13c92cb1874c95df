package import NetworkTypes

/// The nf_tables of one network namespace, as far as needletail needs them.
///
/// On a node it is the kernel, reached over netlink; tests have one in memory.
package protocol TableKernel: AnyObject {
    /// Asks for the current generation, which each transaction of any program raises by one.
    func generation() throws(TableFault) -> UInt32

    /// Reads the table of a family.
    func contents(
        _ family: IPFamily,
        _ variant: Program.Variant
    ) throws(TableFault) -> TableContents

    /// Reads the table of a family without its elements.
    func outline(
        _ family: IPFamily,
        _ variant: Program.Variant
    ) throws(TableFault) -> TableContents

    /// Looks for single elements of a set by their keys, and returns those that there are; a range
    /// must begin with the key.
    func find(
        _ keys: Set<ElementBytes>,
        in set: SetDefinition,
        _ family: IPFamily
    ) throws(TableFault) -> ElementTable

    /// Commits all of these changes or none.
    ///
    /// - Parameter generation: the generation that the changes were computed for
    /// - Throws: `staleGeneration` if another generation is current
    func commit(
        _ changes: [TableTransaction],
        at generation: UInt32
    ) throws(TableFault) -> CommitReceipt

    /// Returns what the kernel has reported about other programs since the last call.
    func news() -> RulesetNews

    /// Waits until there may be news, or the time is over.
    func wait(milliseconds: Int32)
}

/// The changes of a transaction in one table.
package struct TableTransaction: Sendable {
    /// The program of the table after the transaction.
    package let program: Program
    package let changes: Changeset

    package init(program: Program, changes: Changeset) {
        (self.program, self.changes) = (program, changes)
    }
}

package struct CommitReceipt: Sendable {
    package let bytes: Int
    /// The generation after the commit.
    package let generation: UInt32
    /// Whether other programs have committed after this commit and will not be reported by `news`.
    package let missesOthers: Bool

    package init(bytes: Int, generation: UInt32, missesOthers: Bool = false) {
        (self.bytes, self.generation, self.missesOthers) = (bytes, generation, missesOthers)
    }
}

/// Changes of the ruleset by other programs.
package struct RulesetNews: Sendable, Hashable {
    /// The generations that their transactions have led to.
    package var generations: [UInt32] = []
    /// Whether they have changed one of needletail's tables, or may have because notifications were
    /// lost.
    package var touchesTables = false
    /// Whether they may have changed which packets are forwarded.
    package var touchesForwarding = false

    package init() {}
}

/// The reason why the tables could not be read or changed.
package enum TableFault: Error, Sendable {
    /// Another program has changed the tables since they were read.
    case tampered
    /// Another program has committed since the generation was asked for.
    case staleGeneration
    /// The transaction is too large for the kernel.
    case tooLarge
    case refused(Refusal)

    package struct Refusal: Sendable, Hashable {
        /// The operation that failed, and the kernel's answer.
        package let text: String
        /// Whether the process lacks a privilege.
        package let isPrivilege: Bool

        package init(_ text: String, isPrivilege: Bool = false) {
            (self.text, self.isPrivilege) = (text, isPrivilege)
        }
    }
}

/// Follows the generation of the ruleset, and notices when other programs change needletail's
/// tables.
///
/// For changes of other tables it only looks at their notifications; nothing is read back.
package struct GenerationLedger: Sendable {
    /// The last generation known from notifications or from this program's own commits.
    package private(set) var known: UInt32 = 0
    /// Whether other programs have changed one of needletail's tables, or notifications were lost.
    package private(set) var isTampered = false
    private var isForwardingTouched = false

    package init() {}

    /// Forgets everything before this generation, whose contents are about to be read.
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

    /// Takes note of a commit of this program that did not name a generation.
    ///
    /// Other programs may have committed before it; their notifications report that.
    mutating func committedBlindly(_ kernel: any TableKernel) throws(TableFault) {
        advance(to: try kernel.generation())
    }

    package mutating func take(_ news: RulesetNews) {
        for generation in news.generations { advance(to: generation) }
        isTampered = isTampered || news.touchesTables
        isForwardingTouched = isForwardingTouched || news.touchesForwarding
    }

    /// Returns whether forwarding may have changed since the last call.
    package mutating func takeForwardingTouch() -> Bool {
        defer { isForwardingTouched = false }
        return isForwardingTouched
    }

    /// Waits until the news have reached the current generation, for about a second at most.
    mutating func catchUp(_ kernel: any TableKernel) throws(TableFault) {
        let generation = try kernel.generation()
        for _ in 0..<100 {
            take(kernel.news())
            if Int32(bitPattern: known &- generation) >= 0 { return }
            kernel.wait(milliseconds: 10)
        }
        // The notification of this generation was lost, so what it changed is not known.
        (known, isTampered) = (generation, true)
    }

    /// Moves `known` forward; queued notifications may report an older generation, which is
    /// ignored.
    private mutating func advance(to generation: UInt32) {
        if Int32(bitPattern: generation &- known) > 0 { known = generation }
    }
}
