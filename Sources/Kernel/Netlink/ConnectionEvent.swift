internal import CMnl
internal import Glibc

/// What connection tracking reports about one connection.
package struct ConnectionEvent: Sendable, Hashable {
    package enum Change: String, Sendable, Hashable, CaseIterable {
        /// The first packet has passed.
        case new
        /// Both sides have answered: conntrack keeps the entry for long.
        case assured
        /// A TCP connection has ended; the entry stays for its last timeout.
        case closed
        /// The entry is gone.
        case destroyed
    }

    /// The packets and bytes of one direction.
    package struct Traffic: Sendable, Hashable {
        package let packets: UInt64
        package let bytes: UInt64
    }

    package let change: Change
    package let connection: TrackedConnection
    /// The kernel's number of the entry.
    package let id: UInt32
    /// Whether both sides had answered by then.
    package let isAssured: Bool
    /// What the client sent, and what it got; nil if the node does not count (`nf_conntrack_acct`).
    package let sent: Traffic?
    package let received: Traffic?
    /// How long the entry existed, in nanoseconds; nil unless the node takes the times
    /// (`nf_conntrack_timestamp`).
    package let lifetime: UInt64?

    /// Reads a message; nil if it is about something else, or about a change without a name.
    package init?(_ message: NetlinkMessage) {
        guard message.type >> 8 == Int(NFNL_SUBSYS_CTNETLINK) else { return nil }
        let attributes = message.netfilterAttributes
        guard let connection = TrackedConnection(attributes, keepsIdentity: false) else {
            return nil
        }
        let status = attributes[Int(CTA_STATUS.rawValue)]?.bigEndianWord ?? 0
        isAssured = status & TrackingStatus.assured != 0
        switch UInt32(message.type & 0xFF) {
        case IPCTNL_MSG_CT_DELETE.rawValue: change = .destroyed
        case IPCTNL_MSG_CT_NEW.rawValue where message.flags & Int(NLM_F_CREATE) != 0: change = .new
        case IPCTNL_MSG_CT_NEW.rawValue:
            guard let update = Change(update: attributes, isAssured: isAssured) else { return nil }
            change = update
        default: return nil
        }
        self.connection = connection
        id = attributes[Int(CTA_ID.rawValue)]?.bigEndianWord ?? 0
        sent = attributes[Int(CTA_COUNTERS_ORIG.rawValue)].flatMap { Traffic($0.nested) }
        received = attributes[Int(CTA_COUNTERS_REPLY.rawValue)].flatMap { Traffic($0.nested) }
        let times = attributes[Int(CTA_TIMESTAMP.rawValue)]?.nested
        if let start = times?[Int(CTA_TIMESTAMP_START.rawValue)]?.bigEndianLong,
            let stop = times?[Int(CTA_TIMESTAMP_STOP.rawValue)]?.bigEndianLong, stop >= start
        {
            lifetime = stop - start
        } else {
            lifetime = nil
        }
    }
}

extension ConnectionEvent.Traffic {
    fileprivate init?(_ counters: AttributeReader) {
        guard let packets = counters[Int(CTA_COUNTERS_PACKETS.rawValue)]?.bigEndianLong,
            let bytes = counters[Int(CTA_COUNTERS_BYTES.rawValue)]?.bigEndianLong
        else { return nil }
        self.init(packets: packets, bytes: bytes)
    }
}

extension ConnectionEvent.Change {
    /// What an update means.
    ///
    /// TCP tells its state with each change of it; for other protocols an update that has the bit
    /// is one by which it was set, as far as the kernel tells.
    fileprivate init?(update attributes: AttributeReader, isAssured: Bool) {
        let protocolInfo = attributes[Int(CTA_PROTOINFO.rawValue)]?.nested
        guard let tcp = protocolInfo?[Int(CTA_PROTOINFO_TCP.rawValue)]?.nested else {
            guard isAssured else { return nil }
            self = .assured
            return
        }
        let state = tcp[Int(CTA_PROTOINFO_TCP_STATE.rawValue)]?.byte
        switch state.flatMap(TCPState.init(rawValue:)) {
        case .established: self = .assured
        case .timeWait, .close: self = .closed
        case nil: return nil
        }
    }
}

/// The reported states of a TCP connection: `enum tcp_conntrack` of
/// `linux/netfilter/nf_conntrack_tcp.h`.
enum TCPState: UInt8 {
    case established = 3
    case timeWait = 7
    case close = 8

    static let reported: [TCPState] = [.established, .timeWait, .close]
}

/// Bits of `enum ip_conntrack_status`.
enum TrackingStatus {
    /// The bit `IPS_ASSURED`.
    static let assured: UInt32 = 1 << 2
}

/// The events of this network namespace's connection tracking, of which the kernel leaves out those
/// that the filter does not want.
///
/// For use by one thread at a time.
package struct ConnectionEvents: ~Copyable {
    private let socket: NetlinkSocket
    private var filter: ConnectionFilter
    private var lostBefore: UInt32
    /// Whether the buffer has been full and not empty since; until then, the kernel drops everything
    /// and reports it once only (`NETLINK_S_CONGESTED`).
    private var isCongested = false

    /// Begins to listen.
    ///
    /// - Parameter buffer: the size in bytes of the buffer in which events wait for `receive`
    package init(_ filter: ConnectionFilter, buffer: Int) throws(NetlinkError) {
        let socket = try NetlinkSocket(.netfilter)
        socket.setReceiveBuffer(buffer)
        socket.setNonBlocking()
        try socket.attach(filter.program)
        for group in [
            NFNLGRP_CONNTRACK_NEW, NFNLGRP_CONNTRACK_UPDATE, NFNLGRP_CONNTRACK_DESTROY,
        ] { try socket.setMembership(of: Int32(group.rawValue), true) }
        lostBefore = 0
        self.filter = filter
        self.socket = socket
    }

    /// Changes what is wanted; events that wait already are checked again, too.
    package mutating func change(_ filter: ConnectionFilter) throws(NetlinkError) {
        guard filter != self.filter else { return }
        try socket.attach(filter.program)
        self.filter = filter
    }

    /// What happened to the buffer.
    package enum Loss: Sendable, Hashable {
        case none
        case events(UInt32)
        /// The kernel does not tell how many.
        case some
    }

    /// Waits for events, up to a time in milliseconds, and passes those that are there.
    ///
    /// Returns the events that were lost before, because they came faster than they were read.
    package mutating func receive(
        milliseconds: Int32,
        _ body: (ConnectionEvent) -> Void
    ) throws(NetlinkError) -> Loss {
        socket.wait(milliseconds: milliseconds)
        for _ in 0..<Self.mostAtOnce {
            do {
                let isThere = try socket.receive { message in
                    guard let event = ConnectionEvent(message), filter.matches(event.connection)
                    else { return }
                    body(event)
                }
                if !isThere { return isCongested ? lossSinceOverrun() : .none }
            } catch  where error.isTooLarge {
                // ENOBUFS: the kernel drops what comes while the buffer is full.
                isCongested = true
                return countLoss()
            }
        }
        return .none
    }

    private static let mostAtOnce = 512

    /// What was lost between the report of an overrun and the moment when the buffer was empty.
    private mutating func lossSinceOverrun() -> Loss {
        isCongested = false
        return socket.lostMessages == lostBefore ? .none : countLoss()
    }

    private mutating func countLoss() -> Loss {
        guard let all = socket.lostMessages else { return .some }
        let lost = all &- lostBefore
        lostBefore = all
        return lost == 0 ? .some : .events(lost)
    }
}
