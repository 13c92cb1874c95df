internal import CMnl
package import CNftnl
package import NetworkTypes

/// Constants of `linux/netfilter/nf_tables.h` that are macros or untyped enumerations in C.
package enum Constant {
    package static let subsystem = UInt16(NFNL_SUBSYS_NFTABLES)
    /// The multicast group `NFNLGRP_NFTABLES`.
    package static let notificationGroup: Int32 = 7

    package static func messageType(_ type: nf_tables_msg_types) -> UInt16 {
        subsystem << 8 | UInt16(type.rawValue)
    }

    /// `NFT_DATA_VERDICT`, the data type of a map of verdicts.
    package static let verdictType: UInt32 = 0xFFFF_FF00
    /// Verdicts of `linux/netfilter.h`.
    package static let (drop, accept): (UInt32, UInt32) = (0, 1)
    /// `NFTA_TARGET_NAME` of `linux/netfilter/nf_tables_compat.h`.
    package static let targetName = 1

    /// `NFTA_SET_COUNT`, which Debian's kernel headers do not have yet.
    package static let setCount = 20

    package static let request = UInt16(NLM_F_REQUEST)
    package static let create = UInt16(NLM_F_REQUEST | NLM_F_CREATE)
    package static let append = UInt16(NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND)
    package static let dump = UInt16(NLM_F_REQUEST | NLM_F_DUMP)
}

extension IPFamily {
    /// The kernel's `NFPROTO_IPV4` or `NFPROTO_IPV6`.
    package var netfilterFamily: UInt8 { self == .ipv4 ? 2 : 10 }

    package init?(netfilterFamily: UInt8) {
        switch netfilterFamily {
        case 2: self = .ipv4
        case 10: self = .ipv6
        default: return nil
        }
    }
}
