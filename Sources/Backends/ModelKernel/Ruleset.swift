package import NFTables
package import NetworkTypes

/// The tables of a kernel in the kernel's own terms, everybody's.
package struct Ruleset: Sendable {
    package var tables: [TableID: Table] = [:]

    package init() {}

    /// The families of tables that see IP packets; the raw values are `NFPROTO_…`.
    package enum Family: UInt8, Sendable, Hashable {
        case inet = 1
        case ip = 2
        case ip6 = 10

        package init(_ family: IPFamily) { self = family == .ipv4 ? .ip : .ip6 }

        package func sees(_ family: IPFamily) -> Bool { self == .inet || self == Self(family) }
    }

    package struct TableID: Sendable, Hashable {
        package let family: Family
        package let name: String

        package init(_ family: Family, _ name: String) { (self.family, self.name) = (family, name) }

        /// The table of needletail for a family.
        package init(_ family: IPFamily) {
            self.init(Family(family), RulesetPrinter.tableName)
        }
    }

    package struct Table: Sendable {
        package var chains: [String: Chain] = [:]
        package var sets: [String: ElementSet] = [:]
        /// The kernel does not call its chains.
        package var isDormant = false

        package init() {}
    }

    package struct Chain: Sendable {
        package var base: Base?
        package var rules: [Rule] = []

        package init(base: Base? = nil) { self.base = base }
    }

    /// Where the kernel calls a chain.
    package struct Base: Sendable, Hashable {
        package enum ChainType: String, Sendable { case filter, nat, route }

        package var type: ChainType
        package var hook: BaseChain.Hook
        package var priority: Int32
        /// The policy is to drop.
        package var isDropping = false
        /// When the chain was registered, in relation to others.
        package var order: UInt64 = 0

        package init(_ type: ChainType, _ hook: BaseChain.Hook, _ priority: Int32) {
            (self.type, self.hook, self.priority) = (type, hook, priority)
        }
    }

    package struct Rule: Sendable, Hashable {
        package let handle: UInt64
        package var expressions: [KernelExpression]

        package init(handle: UInt64, _ expressions: [KernelExpression]) {
            (self.handle, self.expressions) = (handle, expressions)
        }
    }

    /// A set or a map.
    package struct ElementSet: Sendable {
        package var shape: SetShape
        /// The data of its elements are verdicts.
        package var isVerdictMap = false
        /// By key; a range by its lower end.
        package var elements: [[UInt8]: Element] = [:]

        package init(_ shape: SetShape) { self.shape = shape }

        package var isInterval: Bool { shape.flags & SetDefinition.Flag.interval != 0 }
    }

    package struct Element: Sendable, Hashable {
        /// The inclusive upper end of a range.
        package var keyEnd: [UInt8]?
        package var value: Value
        package var comment: String?

        package init(_ value: Value = .none, keyEnd: [UInt8]? = nil, comment: String? = nil) {
            (self.value, self.keyEnd, self.comment) = (value, keyEnd, comment)
        }
    }

    /// What an element of a map leads to.
    package enum Value: Sendable, Hashable {
        case none
        case data([UInt8])
        case verdict(KernelExpression.Verdict, String?)
    }
}
