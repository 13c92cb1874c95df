internal import CMnl
internal import Glibc
package import NetworkTypes

/// The addresses of the interfaces in this network namespace, read over rtnetlink.
package enum InterfaceAddresses {
    /// The multicast groups in which the kernel reports changes.
    package static let groups =
        UInt32(1) << (RTNLGRP_IPV4_IFADDR.rawValue - 1)
        | UInt32(1) << (RTNLGRP_IPV6_IFADDR.rawValue - 1)

    /// Whether a notification is about an address of an interface other than the named one.
    package static func isChange(_ message: NetlinkMessage, except name: String) -> Bool {
        guard message.type == Int(RTM_NEWADDR) || message.type == Int(RTM_DELADDR),
            message.payload.count >= MemoryLayout<ifaddrmsg>.size
        else { return false }
        let index = message.payload.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
        return index != if_nametoindex(name)
    }

    /// Returns the removed address, if a notification reports a removal from any interface.
    package static func removed(_ message: NetlinkMessage) -> IPAddress? {
        guard message.type == Int(RTM_DELADDR),
            message.payload.count >= MemoryLayout<ifaddrmsg>.size
        else { return nil }
        let attributes = message.attributes(after: MemoryLayout<ifaddrmsg>.size)
        return (attributes[IFA_LOCAL] ?? attributes[IFA_ADDRESS])?.address
    }

    /// Reads the addresses of all interfaces but one, sorted.
    ///
    /// - Parameter except: the name of a device whose addresses do not count as the node's own
    package static func read(except name: String? = nil) throws(NetlinkError) -> [IPAddress] {
        var socket = try NetlinkSocket(.route)
        let left = name.map { Int32(if_nametoindex($0)) } ?? 0
        let found = try all(&socket).filter { $0.interface != left }
        return Set(found.map(\.address)).sorted()
    }

    /// Reads all addresses with the indices of their interfaces.
    static func all(
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> [(interface: Int32, address: IPAddress)] {
        let sequence = socket.nextSequence()
        var request = MessageBuffer(capacity: 64)
        request.beginMessage(
            type: UInt16(RTM_GETADDR),
            flags: UInt16(NLM_F_REQUEST | NLM_F_DUMP),
            sequence: sequence
        )
        // struct ifaddrmsg: any family, everything else zero
        request.append(UInt64(0))
        request.endMessage()
        var found: [(interface: Int32, address: IPAddress)] = []
        try socket.dump(
            "the interfaces' addresses",
            request: request,
            sequence: sequence,
            restart: { found = [] }
        ) { message in
            guard message.payload.count >= MemoryLayout<ifaddrmsg>.size else { return }
            let index = message.payload.loadUnaligned(fromByteOffset: 4, as: Int32.self)
            let attributes = message.attributes(after: MemoryLayout<ifaddrmsg>.size)
            // On a point-to-point link, IFA_ADDRESS is the peer's address.
            let own = attributes[IFA_LOCAL] ?? attributes[IFA_ADDRESS]
            if let address = own?.address { found.append((index, address)) }
        }
        return found
    }
}

let IFA_ADDRESS = 1
let IFA_LOCAL = 2
