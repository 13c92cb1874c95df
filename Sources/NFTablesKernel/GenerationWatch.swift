internal import CMnl
internal import CNftnl
internal import NFTables
internal import NetworkTypes
internal import Netlink

/// Follows the ruleset's generation ID, and notices when somebody else touches our tables.
///
/// Every transaction of every program on the node raises the ID. What happened in between is told
/// by the notifications, so a foreign change elsewhere costs a look at them and not a read-back.
struct GenerationWatch: ~Copyable {
    private let listener: NetlinkSocket
    /// The last generation that notifications, or our own commits, have told of.
    private(set) var known: UInt32 = 0
    /// Somebody changed one of our tables, or notifications were lost.
    private(set) var isTampered = false
    /// What decides about forwarding may have changed: a table or chain, or a rule of one of
    /// `forwardChains`.
    private var isForwardingTouched = false
    /// The base chains of others at the forward hook that were found last.
    var forwardChains: Set<ChainPlace> = []

    /// - Parameter ownPort: the socket whose commits are ours
    init(ignoring ownPort: UInt32) throws(NetlinkError) {
        let listener = try NetlinkSocket(.netfilter)
        try listener.setMembership(of: Constant.notificationGroup, true)
        try listener.ignoreChanges(by: ownPort)
        listener.setNonBlocking()
        self.listener = listener
    }

    var descriptor: Int32 { listener.descriptor }

    /// Forgets everything before a generation, whose contents are about to be read.
    mutating func restart(at generation: UInt32) {
        drain()
        known = generation
        isTampered = false
    }

    /// A commit of ours was taken that carried the generation in force.
    mutating func committed() { known &+= 1 }

    /// A commit of ours was taken whatever generation was in force: others may have come between.
    mutating func committedBlindly(
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) {
        advance(to: try Self.read(&socket))
    }

    /// Notifications that were queued may tell of an older one.
    private mutating func advance(to generation: UInt32) {
        if Int32(bitPattern: generation &- known) > 0 { known = generation }
    }

    /// Whether forwarding may have changed since this was asked last.
    mutating func takeForwardingTouch() -> Bool {
        defer { isForwardingTouched = false }
        return isForwardingTouched
    }

    /// Runs a large commit of ours without listening.
    ///
    /// While anybody listens the kernel writes a notification for each element, which takes longer
    /// than adding it. The commit itself proves by its generation that nothing happened before it;
    /// the generation afterwards proves that nothing happened behind it.
    mutating func withoutListening(
        _ socket: inout NetlinkSocket,
        _ body: (inout NetlinkSocket) throws(NetlinkError) -> Void
    ) throws(NetlinkError) {
        drain()
        try listener.setMembership(of: Constant.notificationGroup, false)
        var failure: NetlinkError?
        do throws(NetlinkError) { try body(&socket) } catch { failure = error }
        try listener.setMembership(of: Constant.notificationGroup, true)
        if let failure { throw failure }
        committed()
        let now = try Self.read(&socket)
        if now != known { (known, isTampered, isForwardingTouched) = (now, true, true) }
    }

    /// Takes in what has arrived.
    mutating func drain() {
        var told: [UInt32] = []
        var (isTouched, isForwarding) = (false, false)
        do {
            while try listener.receive(
                timeout: 0,
                { message in
                    if let new = Self.generation(message) {
                        told.append(new)
                    } else if Self.concernsUs(message) {
                        isTouched = true
                    } else if Self.concernsForwarding(message, forwardChains) {
                        isForwarding = true
                    }
                }
            ) {}
        } catch {
            // ENOBUFS: lost notifications may have been about our tables, or anything.
            (isTouched, isForwarding) = (true, true)
        }
        isForwardingTouched = isForwardingTouched || isForwarding
        for generation in told { advance(to: generation) }
        isTampered = isTampered || isTouched
    }

    /// Waits until the notifications have told of this generation; a second at most.
    mutating func catchUp(with generation: UInt32) {
        for _ in 0..<100 {
            drain()
            if known == generation || Int32(bitPattern: known &- generation) > 0 { return }
            listener.wait(milliseconds: 10)
        }
        // Its notification was lost, and with it whatever it has changed.
        (known, isTampered) = (generation, true)
    }

    private static func generation(_ message: NetlinkMessage) -> UInt32? {
        guard message.type == Int(Constant.messageType(NFT_MSG_NEWGEN)) else { return nil }
        return message.netfilterAttributes[Int(NFTA_GEN_ID.rawValue)]?.bigEndianWord
    }

    /// The table is the first attribute of tables, and of all that is in one.
    private static func concernsUs(_ message: NetlinkMessage) -> Bool {
        message.netfilterAttributes[Int(NFTA_TABLE_NAME.rawValue)]?.text == RulesetPrinter.tableName
            && IPFamily(netfilterFamily: message.netfilterFamily) != nil
    }

    private static func concernsForwarding(
        _ message: NetlinkMessage,
        _ chains: Set<ChainPlace>
    ) -> Bool {
        switch message.type {
        case Int(Constant.messageType(NFT_MSG_NEWTABLE)),
            Int(Constant.messageType(NFT_MSG_DELTABLE)),
            Int(Constant.messageType(NFT_MSG_NEWCHAIN)),
            Int(Constant.messageType(NFT_MSG_DELCHAIN)):
            return true
        case Int(Constant.messageType(NFT_MSG_NEWRULE)), Int(Constant.messageType(NFT_MSG_DELRULE)):
            let rule = message.netfilterAttributes
            guard !chains.isEmpty, let table = rule[Int(NFTA_RULE_TABLE.rawValue)]?.text,
                let chain = rule[Int(NFTA_RULE_CHAIN.rawValue)]?.text
            else { return false }
            return chains.contains(ChainPlace(message.netfilterFamily, table, chain))
        default: return false
        }
    }

    /// Asks the kernel for the generation in force.
    static func read(_ socket: inout NetlinkSocket) throws(NetlinkError) -> UInt32 {
        let sequence = socket.nextSequence()
        var request = MessageBuffer(capacity: 64)
        request.beginMessage(
            type: Constant.messageType(NFT_MSG_GETGEN),
            flags: Constant.request,
            sequence: sequence
        )
        request.appendNetfilterHeader(family: 0)
        request.endMessage()
        try socket.send(request.bytes)
        var result: UInt32?
        var failure: NetlinkError?
        while result == nil, failure == nil {
            _ = try socket.receive { message in
                guard message.sequence == sequence else { return }
                if message.isError {
                    failure = NetlinkError(
                        "reading the nftables generation",
                        code: message.errorCode,
                        kernelMessage: message.errorText
                    )
                } else {
                    result = generation(message)
                }
            }
        }
        guard let result else {
            throw failure ?? NetlinkError("reading the nftables generation", code: 0)
        }
        return result
    }
}
