internal import CMnl
internal import Glibc
package import NetworkTypes

/// The interfaces of this network namespace and their addresses, read once over rtnetlink.
package struct Interfaces: Sendable {
    package struct Interface: Sendable {
        fileprivate let index: Int32
        package let name: String
        /// The name of its driver, such as `bridge`; nil for hardware.
        package let kind: String?
        package let addresses: [IPAddress]
    }

    package let all: [Interface]

    package init() throws(NetlinkError) {
        var socket = try NetlinkSocket(.route)
        let links = try Self.links(&socket)
        let addresses = try InterfaceAddresses.all(&socket)
        all = links.map { link in
            Interface(
                index: link.index,
                name: link.name,
                kind: link.kind,
                addresses: addresses.filter { $0.interface == link.index }.map(\.address)
            )
        }
    }

    package subscript(name: String) -> Interface? { all.first { $0.name == name } }

    /// Returns the names of the bridges that have an address in one of the blocks, or one of the
    /// names, sorted.
    package func bridges(in blocks: [IPPrefix], or names: [String]) -> [String] {
        all.filter { interface in
            interface.kind == "bridge"
                && (names.contains(interface.name)
                    || interface.addresses.contains { address in
                        blocks.contains { $0.contains(address) }
                    })
        }.map(\.name).sorted()
    }

    private typealias Link = (index: Int32, name: String, kind: String?)

    private static func links(_ socket: inout NetlinkSocket) throws(NetlinkError) -> [Link] {
        let sequence = socket.nextSequence()
        var request = MessageBuffer(capacity: 64)
        request.beginMessage(
            type: UInt16(RTM_GETLINK),
            flags: UInt16(NLM_F_REQUEST | NLM_F_DUMP),
            sequence: sequence
        )
        request.appendLinkHeader(index: 0)
        request.endMessage()
        var found: [Link] = []
        try socket.dump(
            "the interfaces",
            request: request,
            sequence: sequence,
            restart: { found = [] }
        ) { message in
            guard message.payload.count >= MemoryLayout<ifinfomsg>.size else { return }
            let attributes = message.attributes(after: MemoryLayout<ifinfomsg>.size)
            guard let name = attributes[IFLA_IFNAME]?.text else { return }
            let index = message.payload.loadUnaligned(fromByteOffset: 4, as: Int32.self)
            found.append((index, name, attributes[IFLA_LINKINFO]?.nested[IFLA_INFO_KIND]?.text))
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
