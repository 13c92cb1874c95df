internal import CMnl
package import CNftnl

/// Constants of `linux/netfilter/nf_tables.h` that are macros or untyped enumerations in C.
package enum Constant {
    package static let subsystem = UInt16(NFNL_SUBSYS_NFTABLES)
    /// The multicast group `NFNLGRP_NFTABLES`.
    package static let notificationGroup: Int32 = 7

    package static func messageType(_ type: nf_tables_msg_types) -> UInt16 {
        subsystem << 8 | UInt16(type.rawValue)
    }

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
