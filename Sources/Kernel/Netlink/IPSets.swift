internal import CMnl
internal import Glibc

/// The ipsets of this network namespace, over nfnetlink (`linux/netfilter/ipset/ip_set.h`).
package enum IPSets {
    private static let subsystem = UInt16(NFNL_SUBSYS_IPSET)
    private static let destroy: UInt16 = 3
    private static let list: UInt16 = 7
    private static let protocolAttribute: UInt16 = 1
    private static let nameAttribute: UInt16 = 2
    private static let flagsAttribute: UInt16 = 6
    private static let protocolVersion: UInt8 = 6
    /// `IPSET_FLAG_LIST_SETNAME`, which limits a list to names.
    private static let namesOnly: UInt32 = 1 << 1

    /// Returns the names of all sets; empty without the kernel's module.
    package static func names() -> Set<String> {
        guard var socket = try? NetlinkSocket(.netfilter) else { return [] }
        var names: Set<String> = []
        let sequence = socket.nextSequence()
        var request = MessageBuffer(capacity: 128)
        begin(&request, list, UInt16(NLM_F_REQUEST | NLM_F_DUMP), sequence)
        request.attribute(flagsAttribute | UInt16(NLA_F_NET_BYTEORDER), bigEndian: namesOnly)
        request.endMessage()
        do {
            try socket.dump(
                "the ipsets",
                request: request,
                sequence: sequence,
                restart: { names = [] }
            ) { message in
                if let name = message.netfilterAttributes[Int(nameAttribute)]?.text {
                    names.insert(name)
                }
            }
        } catch {
            // The kernel has no such subsystem.
            return []
        }
        return names
    }

    /// Destroys these sets, which nothing may refer to; sets that do not exist are skipped.
    package static func remove(_ names: Set<String>) throws(NetlinkError) {
        guard !names.isEmpty else { return }
        var socket = try NetlinkSocket(.netfilter)
        for name in names.sorted() {
            let sequence = socket.nextSequence()
            var request = MessageBuffer(capacity: 128)
            begin(&request, destroy, UInt16(NLM_F_REQUEST | NLM_F_ACK), sequence)
            request.attribute(nameAttribute, name)
            request.endMessage()
            _ = try socket.ask(
                "destroying the ipset \(name)",
                request: request,
                sequence: sequence,
                // 0 acknowledges the request.
                absence: [0, ENOENT]
            ) { _ in }
        }
    }

    private static func begin(
        _ request: inout MessageBuffer,
        _ command: UInt16,
        _ flags: UInt16,
        _ sequence: UInt32
    ) {
        request.beginMessage(type: subsystem << 8 | command, flags: flags, sequence: sequence)
        request.appendNetfilterHeader(family: UInt8(AF_INET))
        request.attribute(protocolAttribute, protocolVersion)
    }
}

private let NFNL_SUBSYS_IPSET = 6
