internal import Backend
internal import CMnl
internal import CNftnl
internal import Glibc
internal import NFTables
internal import NetworkTypes
package import Netlink

/// Listens to the kernel's notifications about what other programs do to the ruleset.
package struct RulesetListener: ~Copyable {
    private let socket: NetlinkSocket
    /// The news that were received and not yet taken.
    private var kept = RulesetNews()
    /// The base chains of other programs at the forward hook, as last read.
    var forwardChains: Set<ChainPlace> = []

    /// Opens a socket that listens.
    ///
    /// - Parameter ownPort: the netlink port of the socket whose commits are not reported
    init(ignoring ownPort: UInt32) throws(NetlinkError) {
        let socket = try NetlinkSocket(.netfilter)
        try socket.setMembership(of: Constant.notificationGroup, true)
        try socket.ignoreChanges(by: ownPort)
        socket.setNonBlocking()
        self.socket = socket
    }

    var descriptor: Int32 { socket.descriptor }

    func wait(milliseconds: Int32) { socket.wait(milliseconds: milliseconds) }

    mutating func setListening(_ isOn: Bool) throws(NetlinkError) {
        if !isOn { hear() }
        try socket.setMembership(of: Constant.notificationGroup, isOn)
    }

    /// Returns the news since the last call.
    mutating func news() -> RulesetNews {
        hear()
        defer { kept = RulesetNews() }
        return kept
    }

    private mutating func hear() {
        var news = kept
        do {
            while try socket.receive(
                timeout: 0,
                { message in
                    if let generation = Self.generation(message) {
                        return news.generations.append(generation)
                    }
                    // The first attribute of all objects is the name of their table.
                    let table = message.netfilterAttributes[Int(NFTA_TABLE_NAME.rawValue)]?.text
                    if Self.concernsUs(message, table) {
                        news.touchesTables = true
                    } else if Self.concernsForwarding(message, table, forwardChains) {
                        news.touchesForwarding = true
                    }
                }
            ) {}
        } catch {
            // ENOBUFS: notifications were lost, which may have been about needletail's tables or
            // forwarding.
            (news.touchesTables, news.touchesForwarding) = (true, true)
        }
        kept = news
    }

    private static func generation(_ message: NetlinkMessage) -> UInt32? {
        guard message.type == Int(Constant.messageType(NFT_MSG_NEWGEN)) else { return nil }
        return message.netfilterAttributes[Int(NFTA_GEN_ID.rawValue)]?.bigEndianWord
    }

    /// Whether the message is about one of needletail's tables.
    private static func concernsUs(_ message: NetlinkMessage, _ table: String?) -> Bool {
        table == RulesetPrinter.tableName
            && IPFamily(netfilterFamily: message.netfilterFamily) != nil
    }

    private static func concernsForwarding(
        _ message: NetlinkMessage,
        _ table: String?,
        _ chains: Set<ChainPlace>
    ) -> Bool {
        guard table.map(LookingTable.has(name:)) != true else { return false }
        switch message.type {
        case Int(Constant.messageType(NFT_MSG_NEWTABLE)),
            Int(Constant.messageType(NFT_MSG_DELTABLE)),
            Int(Constant.messageType(NFT_MSG_NEWCHAIN)),
            Int(Constant.messageType(NFT_MSG_DELCHAIN)):
            return true
        case Int(Constant.messageType(NFT_MSG_NEWRULE)), Int(Constant.messageType(NFT_MSG_DELRULE)):
            guard !chains.isEmpty, let table,
                let chain = message.netfilterAttributes[Int(NFTA_RULE_CHAIN.rawValue)]?.text
            else { return false }
            return chains.contains(ChainPlace(message.netfilterFamily, table, chain))
        default: return false
        }
    }

    /// Asks the kernel for the current generation.
    package static func generation(_ socket: inout NetlinkSocket) throws(NetlinkError) -> UInt32 {
        var result: UInt32?
        try socket.ask("reading the nftables generation", NFT_MSG_GETGEN) {
            result = generation($0)
        }
        guard let result else {
            throw NetlinkError("reading the nftables generation: no answer", code: ENOMSG)
        }
        return result
    }
}
