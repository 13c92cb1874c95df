internal import CMnl
internal import Glibc

/// The size and the losses of the connection tracking table of this network namespace.
package struct TrackingStatistics: Sendable, Hashable {
    package private(set) var entries: UInt32 = 0
    /// The value of `nf_conntrack_max`, which all namespaces share; 0 if the kernel is too old to
    /// report it.
    package private(set) var limit: UInt32 = 0
    /// The packets dropped because another connection had the same addresses and ports.
    package private(set) var insertFailed: UInt64 = 0
    /// The packets dropped for any reason; a full table is one.
    package private(set) var dropped: UInt64 = 0
    /// The entries removed before their time because the table was full.
    package private(set) var earlyDropped: UInt64 = 0

    package static func read() throws(NetlinkError) -> TrackingStatistics {
        var socket = try NetlinkSocket(.netfilter)
        var found = TrackingStatistics()
        var sequence = socket.nextSequence()
        let counters = request(IPCTNL_MSG_CT_GET_STATS_CPU, UInt16(NLM_F_DUMP), sequence)
        // The kernel sends one answer for each CPU.
        try socket.dump(
            "the counters of connection tracking",
            request: counters,
            sequence: sequence,
            restart: { found = TrackingStatistics() }
        ) { message in
            let counters = message.netfilterAttributes
            func count(_ attribute: ctattr_stats_cpu) -> UInt64 {
                UInt64(counters[Int(attribute.rawValue)]?.bigEndianWord ?? 0)
            }
            found.insertFailed += count(CTA_STATS_INSERT_FAILED)
            found.dropped += count(CTA_STATS_DROP)
            found.earlyDropped += count(CTA_STATS_EARLY_DROP)
        }
        sequence = socket.nextSequence()
        let sizes = request(IPCTNL_MSG_CT_GET_STATS, 0, sequence)
        _ = try socket.ask(
            "the size of connection tracking",
            request: sizes,
            sequence: sequence,
            absence: []
        ) { message in
            let sizes = message.netfilterAttributes
            found.entries = sizes[Int(CTA_STATS_GLOBAL_ENTRIES.rawValue)]?.bigEndianWord ?? 0
            found.limit = sizes[Int(CTA_STATS_GLOBAL_MAX_ENTRIES.rawValue)]?.bigEndianWord ?? 0
        }
        return found
    }

    private static func request(
        _ type: cntl_msg_types,
        _ flags: UInt16,
        _ sequence: UInt32
    ) -> MessageBuffer {
        var request = MessageBuffer(capacity: 64)
        request.beginTracking(type, flags, nil, sequence)
        request.endMessage()
        return request
    }
}
