internal import CMnl
package import NetworkTypes

/// The sysctls that let a node forward: `net.ipv4.ip_forward` and `net.ipv6.conf.all.forwarding`.
package enum ForwardingSettings {
    /// The multicast groups in which the kernel reports a change of these sysctls.
    package static let groups =
        UInt32(1) << (RTNLGRP_IPV4_NETCONF.rawValue - 1)
        | UInt32(1) << (RTNLGRP_IPV6_NETCONF.rawValue - 1)

    package static func isChange(_ message: NetlinkMessage) -> Bool {
        message.type == Int(RTM_NEWNETCONF)
    }

    /// Returns those of the given families for which this network namespace does not forward.
    package static func off(_ families: [IPFamily]) -> [IPFamily] {
        families.filter { KernelSettings.read("/proc/sys/\(name($0))") == "0" }
    }

    /// Returns those of the given families whose packets on bridges pass no rules, with the value
    /// of the sysctl; nil if there is none, since `br_netfilter` is not loaded.
    package static func unfilteredOnBridges(
        _ families: [IPFamily]
    ) -> [(family: IPFamily, value: String?)] {
        families.map { ($0, KernelSettings.read("/proc/sys/\(bridgeName($0))")) }
            .filter { $0.1 != "1" }
    }

    /// Returns the name of the sysctl for packets on bridges.
    package static func bridgeName(_ family: IPFamily) -> String {
        "net/bridge/bridge-nf-call-\(family == .ipv4 ? "iptables" : "ip6tables")"
    }

    /// Returns the name of the sysctl as a path below `/proc/sys`.
    package static func name(_ family: IPFamily) -> String {
        family == .ipv4 ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding"
    }
}
