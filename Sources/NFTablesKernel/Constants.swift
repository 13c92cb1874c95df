internal import CMnl
internal import CNftnl

/// Constants of `linux/netfilter/nf_tables.h` that C has as macros or untyped enumerations.
enum Constant {
    static let subsystem = UInt16(NFNL_SUBSYS_NFTABLES)
    /// The multicast group `NFNLGRP_NFTABLES`.
    static let notificationGroup: Int32 = 7

    static func messageType(_ type: nf_tables_msg_types) -> UInt16 {
        subsystem << 8 | UInt16(type.rawValue)
    }

    /// Verdicts of `linux/netfilter.h`.
    static let (drop, accept): (UInt32, UInt32) = (0, 1)
    /// `NFTA_TARGET_NAME` of `linux/netfilter/nf_tables_compat.h`.
    static let targetName = 1

    /// `NFTA_SET_COUNT`, younger than Debian's headers.
    static let setCount = 20

    static let request = UInt16(NLM_F_REQUEST)
    static let create = UInt16(NLM_F_REQUEST | NLM_F_CREATE)
    static let append = UInt16(NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND)
    static let dump = UInt16(NLM_F_REQUEST | NLM_F_DUMP)
}
