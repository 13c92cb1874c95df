internal import CMnl
internal import Glibc
package import NetworkTypes

/// A routing rule and table that deliver packets with a mark to this node.
///
/// The packets may have any destination (as for transparent proxies, the kernel's
/// Documentation/networking/tproxy.rst).
package struct SteeringRoute: ~Copyable {
    /// The number of the routing table.
    package static let table: UInt32 = 10256
    private let mark: UInt32
    private var socket: NetlinkSocket

    /// Makes a handle; nothing is created yet.
    ///
    /// - Parameter mark: the packet mark, a single bit
    package init(mark: UInt32) throws(NetlinkError) {
        self.mark = mark
        socket = try NetlinkSocket(.route)
    }

    /// Creates the route and the rule of each family, unless they exist.
    package mutating func create(_ families: [IPFamily]) throws(NetlinkError) {
        try change(families, UInt16(RTM_NEWROUTE), UInt16(RTM_NEWRULE), EEXIST)
    }

    package mutating func remove(_ families: [IPFamily]) throws(NetlinkError) {
        try change(families, UInt16(RTM_DELROUTE), UInt16(RTM_DELRULE), ENOENT)
    }

    private mutating func change(
        _ families: [IPFamily],
        _ route: UInt16,
        _ rule: UInt16,
        _ ignored: Int32
    ) throws(NetlinkError) {
        let isNew = ignored == EEXIST
        let verb = isNew ? "adding" : "removing"
        var requests = RequestQueue(&socket)
        for family in families {
            let number = UInt8(family == .ipv4 ? AF_INET : AF_INET6)
            requests.append(
                type: route,
                flags: isNew ? UInt16(NLM_F_CREATE | NLM_F_EXCL) : 0,
                ignoring: [ignored, ESRCH],
                { "\(verb) the route of table \(Self.table) (\(family))" }
            ) {
                // struct rtmsg: "local default dev lo"
                $0.append(number)
                for _ in 0..<3 { $0.append(UInt8(0)) }
                $0.append(UInt8(RT_TABLE_UNSPEC.rawValue))
                $0.append(UInt8(RTPROT_STATIC))
                $0.append(UInt8(RT_SCOPE_HOST.rawValue))
                $0.append(UInt8(RTN_LOCAL))
                $0.append(UInt32(0))
                $0.attribute(UInt16(RTA_TABLE.rawValue), Self.table)
                $0.attribute(UInt16(RTA_OIF.rawValue), UInt32(if_nametoindex("lo")))
            }
            requests.append(
                type: rule,
                flags: isNew ? UInt16(NLM_F_CREATE | NLM_F_EXCL) : 0,
                ignoring: [ignored],
                { "\(verb) the routing rule of table \(Self.table) (\(family))" }
            ) {
                // struct fib_rule_hdr
                $0.append(number)
                for _ in 0..<6 { $0.append(UInt8(0)) }
                // FR_ACT_TO_TBL
                $0.append(UInt8(1))
                $0.append(UInt32(0))
                $0.attribute(UInt16(FRA_TABLE), Self.table)
                $0.attribute(UInt16(FRA_PRIORITY), Self.priority)
                $0.attribute(UInt16(FRA_FWMARK), mark)
                $0.attribute(UInt16(FRA_FWMASK), mark)
            }
        }
        try requests.perform(&socket)
    }

    /// The priority of the rule: after the rule for local addresses, and before those of network
    /// plugins.
    private static let priority: UInt32 = 8
}

// linux/fib_rules.h
private let FRA_PRIORITY = 6
private let FRA_FWMARK = 10
private let FRA_TABLE = 15
private let FRA_FWMASK = 16
