internal import CMnl
internal import Glibc
package import NetworkTypes

/// The interfaces of this network namespace and their addresses, read once over rtnetlink.
package struct Interfaces: Sendable {
    package struct Interface: Sendable {
        package let name: String
        /// The name of its driver, such as `bridge`; nil for hardware.
        package let kind: String?
        package let addresses: [IPAddress]
    }

    package let all: [Interface]

    package init() throws(NetlinkError) {
        var socket = try NetlinkSocket(.route)
        let links = try socket.links()
        let addresses = Dictionary(grouping: try InterfaceAddresses.all(&socket), by: \.interface)
        all = links.map { link in
            Interface(
                name: link.name,
                kind: link.kind,
                addresses: (addresses[link.index] ?? []).map(\.address)
            )
        }
    }

    /// The name of an interface of this network namespace; nil if there is none with this index.
    package static func name(of index: UInt32) -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(IF_NAMESIZE)) { name in
            if_indextoname(index, name.baseAddress).map { String(cString: $0) }
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
}

/// An interface that is down, or whose other end is.
package struct DeadLink: Sendable, Hashable {
    package let interface: String
    /// The bridge that it is a port of.
    package let bridge: String?

    /// Returns the dead interfaces of this network namespace, by name.
    package static func all() throws(NetlinkError) -> [DeadLink] {
        var socket = try NetlinkSocket(.route)
        let links = try socket.links()
        return links.filter { !$0.isAlive }
            .map { link in
                DeadLink(
                    interface: link.name,
                    bridge: link.bridge.flatMap { bridge in
                        links.first { $0.index == bridge }?.name
                    }
                )
            }
            .sorted { $0.interface < $1.interface }
    }
}

/// What the kernel reports of an interface.
private struct Link {
    let index: Int32
    let name: String
    let kind: String?
    /// Whether it is up and has a carrier (`IFF_UP`, `IFF_LOWER_UP`).
    let isAlive: Bool
    /// The index of the bridge that it is a port of.
    let bridge: Int32?
}

extension NetlinkSocket {
    fileprivate mutating func links() throws(NetlinkError) -> [Link] {
        let sequence = nextSequence()
        var request = MessageBuffer(capacity: 64)
        request.beginMessage(
            type: UInt16(RTM_GETLINK),
            flags: UInt16(NLM_F_REQUEST | NLM_F_DUMP),
            sequence: sequence
        )
        request.appendLinkHeader(index: 0)
        request.endMessage()
        var found: [Link] = []
        try dump(
            "the interfaces",
            request: request,
            sequence: sequence,
            restart: { found = [] }
        ) { message in
            guard message.payload.count >= MemoryLayout<ifinfomsg>.size else { return }
            let attributes = message.attributes(after: MemoryLayout<ifinfomsg>.size)
            guard let name = attributes[IFLA_IFNAME]?.text else { return }
            let alive: UInt32 = 1 | 1 << 16
            // struct ifinfomsg: the index, then the flags
            let flags = message.payload.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
            found.append(
                Link(
                    index: message.payload.loadUnaligned(fromByteOffset: 4, as: Int32.self),
                    name: name,
                    kind: attributes[IFLA_LINKINFO]?.nested[IFLA_INFO_KIND]?.text,
                    isAlive: flags & alive == alive,
                    bridge: attributes[IFLA_MASTER]?.word.map { Int32(bitPattern: $0) }
                )
            )
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
private let IFLA_MASTER = 10
let IFLA_LINKINFO = 18
let IFLA_INFO_KIND = 1
