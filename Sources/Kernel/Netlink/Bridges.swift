internal import CMnl
internal import Glibc
package import NetworkTypes

/// The bridges of this network namespace, read over rtnetlink.
package enum Bridges {
    /// Returns the bridges that have an address in one of the blocks, or one of the names, sorted.
    package static func names(
        in blocks: [IPPrefix],
        or names: [String]
    ) throws(NetlinkError) -> [String] {
        var socket = try NetlinkSocket(.route)
        let bridges = try all(&socket)
        let addresses = try InterfaceAddresses.all(&socket)
        let held = Set(
            addresses.filter { address in blocks.contains { $0.contains(address.address) } }
                .map(\.interface)
        )
        return bridges.filter { held.contains($0.index) || names.contains($0.name) }
            .map(\.name).sorted()
    }

    private static func all(
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> [(index: Int32, name: String)] {
        let sequence = socket.nextSequence()
        var request = MessageBuffer(capacity: 64)
        request.beginMessage(
            type: UInt16(RTM_GETLINK),
            flags: UInt16(NLM_F_REQUEST | NLM_F_DUMP),
            sequence: sequence
        )
        request.appendLinkHeader(index: 0)
        request.endMessage()
        var found: [(index: Int32, name: String)] = []
        try socket.dump(
            "the interfaces",
            request: request,
            sequence: sequence,
            restart: { found = [] }
        ) { message in
            guard message.payload.count >= MemoryLayout<ifinfomsg>.size else { return }
            let attributes = message.attributes(after: MemoryLayout<ifinfomsg>.size)
            guard attributes[IFLA_LINKINFO]?.nested[IFLA_INFO_KIND]?.text == "bridge",
                let name = attributes[IFLA_IFNAME]?.text
            else { return }
            found.append((message.payload.loadUnaligned(fromByteOffset: 4, as: Int32.self), name))
        }
        return found
    }
}

extension MessageBuffer {
    /// Appends `struct ifinfomsg`, the header of a link message.
    mutating func appendLinkHeader(index: Int32) {
        append(UInt32(0))
        append(index)
        append(UInt64(0))
    }
}

let IFLA_IFNAME = 3
let IFLA_LINKINFO = 18
let IFLA_INFO_KIND = 1
