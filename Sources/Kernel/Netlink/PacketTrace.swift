package import NetworkTypes

/// What the kernel reports about a traced packet at one rule, or at the end of one chain
/// (`NFT_MSG_TRACE`; `net/netfilter/nf_tables_trace.c`).
package struct TraceEvent: Sendable, Hashable {
    /// The values of `enum nft_trace_types`.
    package enum Kind: UInt32, Sendable {
        /// The packet came to the end of a base chain.
        case policy = 1
        /// The packet leaves a chain that was jumped to.
        case `return`
        /// A rule matched to its end, or, without a handle, the packet came to the end of the rules.
        case rule
    }

    /// Tells the packets that are traced at one time apart; one that is looped back gets another.
    package let id: UInt32
    package let kind: Kind
    /// The family of the table, an `NFPROTO_…`.
    package let family: UInt8
    package let table: String
    package let chain: String
    /// The handle of the rule; nil where there is none, as at the end of a chain.
    package let rule: UInt64?
    /// A value of `enum nft_verdicts`, or one of netfilter's own; the policy at the end of a base chain.
    package let verdict: Int32?
    /// Where a verdict leads to.
    package let target: String?
    package let mark: UInt32
    /// The packet as it was when its base chain was called; nil except in the first event of a call.
    package let packet: TracedHeaders?
}

/// A traced packet when a base chain is called.
package struct TracedHeaders: Sendable, Hashable {
    package let source, destination: AddressAndPort
    /// IANA's number.
    package let transport: UInt8
    /// The indices of the interfaces; nil where the hook has none.
    package let inputInterface, outputInterface: UInt32?
    /// The packet is about to come back by the loopback interface.
    package let isLoopedBack: Bool
}

extension TraceEvent {
    /// The values of `enum nft_trace_attributes`.
    private enum Field: Int {
        case table = 1, chain, handle, type, verdict, id, linkHeader, networkHeader
        case transportHeader, input, inputType, output, outputType, mark, family, policy
    }

    /// `NFT_MSG_TRACE` of `NFNL_SUBSYS_NFTABLES`.
    private static let messageType = 10 << 8 | 17
    /// `NFTA_VERDICT_CODE` and `NFTA_VERDICT_CHAIN`.
    private static let (code, jumpTarget) = (1, 2)
    /// `ARPHRD_LOOPBACK`.
    private static let loopback: UInt16 = 772

    /// Reads a notification; nil if it is another one, or incomplete.
    package init?(_ message: NetlinkMessage) {
        guard message.type == Self.messageType else { return nil }
        let fields = message.netfilterAttributes
        guard let id = fields[Field.id.rawValue]?.word,
            let kind = fields[Field.type.rawValue]?.bigEndianWord.flatMap(Kind.init),
            let table = fields[Field.table.rawValue]?.text,
            let chain = fields[Field.chain.rawValue]?.text
        else { return nil }
        (self.id, self.kind, self.table, self.chain) = (id, kind, table, chain)
        family = message.netfilterFamily
        rule = fields[Field.handle.rawValue]?.bigEndianLong
        let verdict = fields[Field.verdict.rawValue]?.nested
        let number =
            kind == .policy
            ? fields[Field.policy.rawValue]?.bigEndianWord
            : verdict?[Self.code]?.bigEndianWord
        self.verdict = number.map(Int32.init(bitPattern:))
        target = kind == .policy ? nil : verdict?[Self.jumpTarget]?.text
        mark = fields[Field.mark.rawValue]?.bigEndianWord ?? 0
        packet = Self.headers(fields)
    }

    private static func headers(_ fields: AttributeReader) -> TracedHeaders? {
        guard let network = fields[Field.networkHeader.rawValue]?.payload,
            let transport = fields[Field.transportHeader.rawValue]?.payload,
            let (source, destination, number) = addresses(network), transport.count >= 4
        else { return nil }
        let port = { (offset: Int) in
            UInt16(transport[offset]) << 8 | UInt16(transport[offset + 1])
        }
        return TracedHeaders(
            source: AddressAndPort(source, port(0)),
            destination: AddressAndPort(destination, port(2)),
            transport: number,
            inputInterface: fields[Field.input.rawValue]?.bigEndianWord,
            outputInterface: fields[Field.output.rawValue]?.bigEndianWord,
            isLoopedBack: fields[Field.outputType.rawValue]?.bigEndianShort == loopback
        )
    }

    /// The addresses of an IP header, and the number of what it carries.
    private static func addresses(
        _ header: UnsafeRawBufferPointer
    ) -> (source: IPAddress, destination: IPAddress, transport: UInt8)? {
        let isIPv4 = header.first.map { $0 >> 4 == 4 } ?? false
        let (length, start, size, number) = isIPv4 ? (20, 12, 4, 9) : (40, 8, 16, 6)
        guard header.count >= length else { return nil }
        let address = { (offset: Int) in
            IPAddress(
                networkOrder: UnsafeRawBufferPointer(rebasing: header[offset..<offset + size])
            )
        }
        guard let source = address(start), let destination = address(start + size) else {
            return nil
        }
        return (source, destination, header[number])
    }
}

/// Receives what the kernel reports about all traced packets of this network namespace.
package struct PacketTrace: ~Copyable {
    private let socket: NetlinkSocket

    /// The value of `NFNLGRP_NFTRACE`.
    private static let group: Int32 = 9

    package init() throws(NetlinkError) {
        socket = try NetlinkSocket(.netfilter)
        socket.setNonBlocking()
    }

    /// Starts to receive; what is reported from now on waits until it is read.
    package func start() throws(NetlinkError) { try socket.setMembership(of: Self.group, true) }

    /// Waits for events, and passes them to the closure.
    ///
    /// - Returns: false if there were none within the time
    /// - Throws: an error with `isTooLarge` if events were lost, because others have more packets
    ///   traced than can be read
    package func receive(
        milliseconds: Int32,
        _ body: (TraceEvent) -> Void
    ) throws(NetlinkError) -> Bool {
        try socket.receive(timeout: milliseconds) { message in
            if let event = TraceEvent(message) { body(event) }
        }
    }
}
