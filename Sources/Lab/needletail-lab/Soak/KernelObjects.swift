internal import EmbeddedAPIServer
internal import FoundationEssentials
internal import NetworkNamespaces
internal import Netlink

/// How much nf_tables holds in a node's namespace.
struct KernelObjects {
    private(set) var elements = 0
    /// The elements that the kernel forgets by itself: former endpoints after ten minutes, clients with
    /// affinity.
    private(set) var expiring = 0
    private(set) var rules = 0

    /// Reads the rules and sets as nft lists them, and counts the elements of each set.
    init(_ node: SoakNode) throws {
        // It warns of statements that it has no JSON for.
        let list = ["sh", "-c", "exec nft --terse -j list ruleset 2> /dev/null"]
        let text = try node.namespace.run(list)
        let ruleset = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
        let counter = try node.namespace.inside { try ElementCounter() }
        for object in ruleset["nftables"].array ?? [] {
            if object["rule"] != .null { rules += 1 }
            for set in [object["set"], object["map"]] {
                guard let name = set["name"].string, let table = set["table"].string else {
                    continue
                }
                let count = try counter.count(set["family"] == "ip" ? 2 : 10, table, name)
                if set["flags"].array?.contains("timeout") == true {
                    expiring += count
                } else {
                    elements += count
                }
            }
        }
    }
}

/// Counts the elements of sets by `NFT_MSG_GETSETELEM`, in the namespace in which it was made.
private final class ElementCounter {
    private var socket: NetlinkSocket

    init() throws { socket = try NetlinkSocket(.netfilter) }

    func count(_ family: UInt8, _ table: String, _ set: String) throws -> Int {
        let sequence = socket.nextSequence()
        var request = MessageBuffer(capacity: 256)
        // NFNL_SUBSYS_NFTABLES; NLM_F_REQUEST and NLM_F_DUMP
        request.beginMessage(type: 10 << 8 | 13, flags: 0x301, sequence: sequence)
        request.appendNetfilterHeader(family: family)
        // NFTA_SET_ELEM_LIST_TABLE and …_SET
        request.attribute(1, table)
        request.attribute(2, set)
        request.endMessage()
        var count = 0
        try socket.dump(
            "the elements of set \(set)",
            request: request,
            sequence: sequence,
            restart: { count = 0 }
        ) { message in
            // NFTA_SET_ELEM_LIST_ELEMENTS
            for _ in message.netfilterAttributes[3]?.nested ?? .none { count += 1 }
        }
        return count
    }
}
