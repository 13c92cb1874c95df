internal import CMnl
internal import Glibc
package import NetworkTypes

/// The addresses of the interfaces of this network namespace, over rtnetlink.
package enum InterfaceAddresses {
    /// The multicast groups that tell of changes.
    package static let groups =
        UInt32(1) << (RTNLGRP_IPV4_IFADDR.rawValue - 1)
        | UInt32(1) << (RTNLGRP_IPV6_IFADDR.rawValue - 1)

    /// Whether a notification is about an address.
    package static func isChange(_ message: NetlinkMessage) -> Bool {
        message.type == Int(RTM_NEWADDR) || message.type == Int(RTM_DELADDR)
    }

    /// Reads all of them, sorted.
    package static func read() throws(NetlinkError) -> [IPAddress] {
        var socket = try NetlinkSocket(.route)
        let sequence = socket.nextSequence()
        var request = MessageBuffer(capacity: 64)
        request.beginMessage(
            type: UInt16(RTM_GETADDR),
            flags: UInt16(NLM_F_REQUEST | NLM_F_DUMP),
            sequence: sequence
        )
        // struct ifaddrmsg: any family, all else zero
        request.append(UInt64(0))
        request.endMessage()
        var addresses: Set<IPAddress> = []
        try socket.dump(
            "the interfaces' addresses",
            request: request,
            sequence: sequence,
            restart: { addresses = [] }
        ) { message in
            let attributes = message.attributes(after: MemoryLayout<ifaddrmsg>.size)
            // On a point-to-point link IFA_ADDRESS is the peer.
            let own = attributes[IFA_LOCAL] ?? attributes[IFA_ADDRESS]
            if let address = own?.address { addresses.insert(address) }
        }
        return addresses.sorted()
    }
}

private let IFA_ADDRESS = 1
private let IFA_LOCAL = 2
