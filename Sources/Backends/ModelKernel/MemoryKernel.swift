package import NFTables
package import NetworkTypes

/// A kernel in memory that stands where netlink does.
///
/// It takes transactions as nf_tables does, refuses what nf_tables refuses, lets others write between
/// them, and tells of changes.
package struct MemoryKernel: Sendable {
    package internal(set) var ruleset = Ruleset()
    /// Every transaction of every program raises it.
    package private(set) var generation: UInt32 = 1
    /// Rules have handles, and base chains are called in an order.
    var lastNumber: UInt64 = 0
    private var notifications: [Notification] = []
    private var failures: (count: Int, code: Refusal.Code)?

    package init() {}

    package enum Notification: Sendable, Hashable {
        /// Something changed in a generation; whether it is in one of needletail's tables, and whether
        /// needletail did it.
        case change(generation: UInt32, isInOurTables: Bool, isOurs: Bool)
        /// The queue was full (ENOBUFS).
        case lost
    }

    // MARK: Transactions

    /// Applies some changes as one transaction, all or nothing.
    ///
    /// - Parameter expected: the generation that the changes were computed for; nil: any
    package mutating func commit(
        _ transactions: [TableTransaction],
        expecting expected: UInt32? = nil
    ) throws(Refusal) {
        if let failure = failures {
            failures = failure.count > 1 ? (failure.count - 1, failure.code) : nil
            throw Refusal(failure.code, "the commit")
        }
        // net/netfilter/nfnetlink.c: nfnetlink_rcv_batch, nf_tables_valid_genid
        guard expected == nil || expected == generation else {
            throw Refusal(.stale, "the generation is \(generation)")
        }
        var copy = self
        for transaction in transactions {
            for operation in transaction.changes.operations(transaction.program) {
                try copy.apply(operation, transaction.program.family)
            }
        }
        self = copy
        finish(isInOurTables: true, isOurs: true)
    }

    /// Makes the next commits fail, whatever they are.
    package mutating func failNext(_ count: Int, with code: Refusal.Code) {
        failures = count > 0 ? (count, code) : nil
    }

    mutating func finish(isInOurTables: Bool, isOurs: Bool) {
        generation &+= 1
        notifications.append(
            .change(generation: generation, isInOurTables: isInOurTables, isOurs: isOurs)
        )
    }

    mutating func nextNumber() -> UInt64 {
        lastNumber += 1
        return lastNumber
    }

    // MARK: Notifications

    /// What has happened since this was asked last.
    package mutating func takeNotifications() -> [Notification] {
        defer { notifications = [] }
        return notifications
    }

    /// Forgets what was to be told, and tells that.
    package mutating func loseNotifications() { notifications = [.lost] }

    // MARK: Reading

    /// What a reader of the table of a family finds.
    package func contents(of family: IPFamily, _ variant: Program.Variant) -> TableContents {
        guard let table = ruleset.tables[Ruleset.TableID(family)], !table.chains.isEmpty,
            !table.isDormant
        else { return .missing }
        let report = TableReport(
            chains: Set(table.chains.map { $1.shape($0) }),
            rules: table.chains.mapValues { $0.rules.map(\.expressions) },
            sets: Set(table.sets.values.map(\.shape))
        )
        var (contents, readable) = report.compared(with: variant, family)
        for definition in readable {
            contents.elements[definition.id] = elements(of: definition, family)
        }
        return contents
    }

    /// What a reader of one of needletail's sets finds.
    package func elements(of set: SetDefinition, _ family: IPFamily) -> ElementTable {
        let elements = ruleset.tables[Ruleset.TableID(family)]?.sets[set.id.name]?.elements ?? [:]
        return ElementTable(elements.map { NFTables.Element($0, $1, set) })
    }
}

/// Why the kernel refuses a transaction.
package struct Refusal: Error, Sendable, Hashable {
    /// The values of `errno` that nf_tables returns.
    package enum Code: Int32, Sendable {
        case notPermitted = 1
        case missing = 2
        case outOfMemory = 12
        case busy = 16
        case exists = 17
        case invalid = 22
        case full = 23
        case stale = 85
        case noBufferSpace = 105
    }

    package let code: Code
    /// What was refused.
    package let operation: String

    init(_ code: Code, _ operation: String) { (self.code, self.operation) = (code, operation) }
}

extension Ruleset.Chain {
    fileprivate func shape(_ name: String) -> ChainShape {
        ChainShape(
            name,
            type: base?.type.rawValue ?? "",
            hook: base?.hook.rawValue,
            priority: base?.priority,
            policy: base.map { $0.isDropping ? 0 : 1 }
        )
    }
}

extension NFTables.Element {
    /// An element as a reader of a set of ours finds it.
    fileprivate init(_ key: [UInt8], _ element: Ruleset.Element, _ set: SetDefinition) {
        var data: ElementBytes?
        switch element.value {
        case .none: break
        case .data(let bytes): data = ElementBytes(bytes: bytes)
        case .verdict(let verdict, let chain):
            let seconds = chain.flatMap(Chain.Name.affinityTimeout)
            if verdict == .goto, let seconds {
                var timeout = ElementBytes()
                timeout.append(hostOrder: seconds)
                data = timeout
            }
        }
        self.init(
            key: ElementBytes(bytes: key),
            keyEnd: set.isInterval ? ElementBytes(bytes: element.keyEnd ?? key) : nil,
            data: data,
            comment: element.comment
        )
    }
}

extension ElementBytes {
    fileprivate init(bytes: [UInt8]) {
        self = bytes.withUnsafeBytes { ElementBytes($0) }
    }
}
