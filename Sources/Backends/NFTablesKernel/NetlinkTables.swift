internal import Backend
internal import NFTables
internal import NetworkTypes
internal import Netlink

/// The tables of this network namespace, reached over netlink.
final class NetlinkTables: TableKernel {
    var socket: NetlinkSocket
    private var listener: RulesetListener

    init() throws(NetlinkError) {
        socket = try NetlinkSocket(.netfilter)
        _ = try RulesetListener.generation(&socket)
        listener = try RulesetListener(ignoring: socket.portID)
    }

    /// A descriptor that is readable when there may be news.
    var descriptor: Int32 { listener.descriptor }

    func generation() throws(TableFault) -> UInt32 {
        try TableFault.translating { () throws(NetlinkError) in
            try RulesetListener.generation(&socket)
        }
    }

    func contents(
        _ family: IPFamily,
        _ variant: Program.Variant
    ) throws(TableFault) -> TableContents {
        try TableFault.translating { () throws(NetlinkError) in
            try TableReader(family: family, variant: variant).read(&socket)
        }
    }

    func outline(
        _ family: IPFamily,
        _ variant: Program.Variant
    ) throws(TableFault) -> TableContents {
        try TableFault.translating { () throws(NetlinkError) in
            try TableReader(family: family, variant: variant).outline(&socket).contents
        }
    }

    func find(
        _ keys: Set<ElementBytes>,
        in set: SetDefinition,
        _ family: IPFamily
    ) throws(TableFault) -> ElementTable {
        try TableFault.translating { () throws(NetlinkError) in
            let reader = TableReader(family: family)
            var found = ElementTable()
            for key in keys {
                let element =
                    set.isInterval
                    ? try reader.range(from: key, of: set, &socket)
                    : try reader.element(key, of: set, &socket)
                if let element { found.insert(element) }
            }
            return found
        }
    }

    func news() -> RulesetNews { listener.news() }

    func wait(milliseconds: Int32) { listener.wait(milliseconds: milliseconds) }

    func commit(
        _ changes: [TableTransaction],
        at generation: UInt32
    ) throws(TableFault) -> CommitReceipt {
        try TableFault.translating { () throws(NetlinkError) in
            var batch = NetlinkBatch(
                subsystem: Constant.subsystem,
                generation: generation,
                firstSequence: socket.nextSequence()
            )
            for change in changes { TransactionEncoder(change).encode(into: &batch) }
            let bytes = batch.byteCount
            socket.advance(to: batch.sequenceAfter)
            guard bytes > Self.largeBatch else {
                try batch.commit(&socket, subsystem: Constant.subsystem)
                return CommitReceipt(bytes: bytes, generation: generation &+ 1)
            }
            try commitUnheard(&batch)
            let now = try RulesetListener.generation(&socket)
            return CommitReceipt(
                bytes: bytes,
                generation: now,
                missesOthers: now != generation &+ 1
            )
        }
    }

    /// The size in bytes above which a batch is committed without listening, since its
    /// notifications would cost more than leaving and joining the multicast group.
    private static let largeBatch = 64 << 10

    /// Commits without listening.
    ///
    /// While any program listens, the kernel writes a notification for each element, which takes
    /// longer than adding the element. The generation that the commit names proves that no other
    /// program committed before it, and the generation afterwards proves that none committed after
    /// it.
    private func commitUnheard(_ batch: inout NetlinkBatch) throws(NetlinkError) {
        try listener.setListening(false)
        var failure: NetlinkError?
        do throws(NetlinkError) {
            try batch.commit(&socket, subsystem: Constant.subsystem)
        } catch { failure = error }
        try listener.setListening(true)
        if let failure { throw failure }
    }

    /// Returns the chains of other programs at the forward hook; `news` reports their changes from
    /// now on.
    func forwardChains() throws(NetlinkError) -> [ForwardChain] {
        let chains = try ForwardChain.read(&socket)
        listener.forwardChains = Set(chains.map(\.place))
        return chains
    }
}

extension TableFault {
    init(_ error: NetlinkError) {
        if error.isStaleGeneration {
            self = .staleGeneration
        } else if error.isTooLarge, error.isUnsent {
            // The same errno while receiving says that the answer was lost, and nothing of what the
            // kernel did.
            self = .tooLarge
        } else {
            self = .refused(Refusal("\(error)", isPrivilege: error.isPermissionDenied))
        }
    }

    static func translating<Value>(
        _ body: () throws(NetlinkError) -> Value
    ) throws(TableFault) -> Value {
        do throws(NetlinkError) { return try body() } catch { throw TableFault(error) }
    }
}
