internal import CMnl
internal import Glibc
package import NetworkTypes

/// Which connections' events are wanted.
///
/// The kernel decides by the same rules as `matches`, except that very many targets are left to
/// `matches` alone.
package struct ConnectionFilter: Sendable, Hashable {
    /// A place that clients connect to.
    package struct Target: Sendable, Hashable {
        package let address: IPAddress
        /// Nil: of any protocol.
        package let transport: TransportProtocol?
        /// Nil: any port.
        package let port: UInt16?

        package init(_ address: IPAddress, _ transport: TransportProtocol?, port: UInt16?) {
            (self.address, self.transport, self.port) = (address, transport, port)
        }

        package init(_ key: FrontendKey) { self.init(key.address, key.transport, port: key.port) }

        package func includes(_ key: FrontendKey) -> Bool {
            key.address == address && transport ?? key.transport == key.transport
                && port ?? key.port == key.port
        }
    }

    /// Nil: every connection whose destination was translated.
    package var targets: [Target]?
    /// Nil: all clients.
    package var client: IPPrefix?

    package init(targets: [Target]?, client: IPPrefix? = nil) {
        (self.targets, self.client) = (targets, client)
    }

    package func matches(_ connection: TrackedConnection) -> Bool {
        guard client?.contains(connection.clientAddress) ?? true else { return false }
        guard let targets else { return connection.isTranslated }
        return targets.contains { $0.includes(connection.frontend) }
    }
}

extension ConnectionFilter {
    /// The program that the kernel runs.
    package var program: SocketFilter {
        let whole = Compiler(self, looksAtDestination: true).program()
        guard whole.instructions.count > SocketFilter.largestSize else { return whole }
        return Compiler(self, looksAtDestination: false).program()
    }

    /// Writes the program for messages of ctnetlink, one message each
    /// (`net/netfilter/nf_conntrack_netlink.c: ctnetlink_conntrack_event`).
    private struct Compiler {
        private let filter: ConnectionFilter
        private let looksAtDestination: Bool
        private var code = FilterAssembler()
        private let reject: FilterAssembler.Label
        private let accept: FilterAssembler.Label

        /// Slots of the filter's memory.
        private enum Slot {
            /// Offsets of attributes.
            static let tuple: UInt32 = 0
            static let addresses: UInt32 = 1
            static let ports: UInt32 = 2
            static let destination: UInt32 = 3
            static let answerer: UInt32 = 4
            /// The protocol in the upper half, the port in the lower one.
            static let service: UInt32 = 5
            static let operand: UInt32 = 6
        }

        init(_ filter: ConnectionFilter, looksAtDestination: Bool) {
            self.filter = filter
            self.looksAtDestination = looksAtDestination
            reject = code.label()
            accept = code.label()
        }

        func program() -> SocketFilter {
            var copy = self
            copy.write()
            return copy.code.finished()
        }

        private mutating func write() {
            let connection = code.label()
            kind(then: connection)
            code.place(connection)
            original()
            let (ipv4, ipv6) = (code.label(), code.label())
            code.loadByte(at: 16)
            code.jump(ifEqual: UInt32(AF_INET), to: ipv4)
            code.jump(ifEqual: UInt32(AF_INET6), to: ipv6)
            code.jump(to: reject)
            code.place(ipv4)
            ends(.ipv4)
            code.place(ipv6)
            ends(.ipv6)
            code.place(accept)
            code.accept()
            code.place(reject)
            code.reject()
        }

        /// The first attribute is behind `struct nlmsghdr` and `struct nfgenmsg`.
        private static let firstAttribute: UInt32 = 20

        private mutating func find(_ type: ctattr_type, orGoTo label: FilterAssembler.Label) {
            code.loadConstant(Self.firstAttribute)
            code.findAttribute(type.rawValue, orGoTo: label)
        }

        /// Admits beginnings and ends, and those updates that `ConnectionEvent` makes something of.
        private mutating func kind(then connection: FilterAssembler.Label) {
            // The header is in the machine's byte order, loads are in the network's.
            let subsystem = UInt16(NFNL_SUBSYS_CTNETLINK) << 8
            func type(_ message: cntl_msg_types) -> UInt32 {
                UInt32((subsystem | UInt16(message.rawValue)).bigEndian)
            }
            code.loadShort(at: 4)
            code.jump(ifEqual: type(IPCTNL_MSG_CT_DELETE), to: connection)
            code.jump(unlessEqual: type(IPCTNL_MSG_CT_NEW), to: reject)
            code.loadShort(at: 6)
            code.jump(ifAnyBitOf: UInt32(UInt16(NLM_F_CREATE).bigEndian), to: connection)
            let stateless = code.label()
            find(CTA_PROTOINFO, orGoTo: stateless)
            code.findNested(CTA_PROTOINFO_TCP.rawValue, orGoTo: stateless)
            code.findNested(CTA_PROTOINFO_TCP_STATE.rawValue, orGoTo: reject)
            code.moveToIndex()
            code.loadPayloadByte()
            for state in TCPState.reported {
                code.jump(ifEqual: UInt32(state.rawValue), to: connection)
            }
            code.jump(to: reject)
            code.place(stateless)
            find(CTA_STATUS, orGoTo: reject)
            code.moveToIndex()
            code.loadPayloadWord()
            code.jump(ifAnyBitOf: TrackingStatus.assured, to: connection)
            code.jump(to: reject)
        }

        /// Finds the parts of the original direction; protocols without ports are left out.
        private mutating func original() {
            find(CTA_TUPLE_ORIG, orGoTo: reject)
            code.store(Slot.tuple)
            code.findNested(CTA_TUPLE_IP.rawValue, orGoTo: reject)
            code.store(Slot.addresses)
            code.loadMemory(Slot.tuple)
            code.findNested(CTA_TUPLE_PROTO.rawValue, orGoTo: reject)
            code.store(Slot.ports)
            code.findNested(CTA_PROTO_NUM.rawValue, orGoTo: reject)
            code.moveToIndex()
            code.loadPayloadByte()
            code.shiftLeft(16)
            code.store(Slot.service)
            code.loadMemory(Slot.ports)
            code.findNested(CTA_PROTO_DST_PORT.rawValue, orGoTo: reject)
            code.moveToIndex()
            code.loadPayloadShort()
            code.moveToIndex()
            code.loadMemory(Slot.service)
            code.orIndex()
            code.store(Slot.service)
        }

        /// Compares the client and the destination; goes to one of the ends.
        private mutating func ends(_ family: IPFamily) {
            let (source, destination) =
                family == .ipv4 ? (CTA_IP_V4_SRC, CTA_IP_V4_DST) : (CTA_IP_V6_SRC, CTA_IP_V6_DST)
            if let client = filter.client {
                guard client.family == family else { return code.jump(to: reject) }
                code.loadMemory(Slot.addresses)
                code.findNested(source.rawValue, orGoTo: reject)
                code.moveToIndex()
                compare(client)
            }
            guard looksAtDestination else { return code.jump(to: accept) }
            code.loadMemory(Slot.addresses)
            code.findNested(destination.rawValue, orGoTo: reject)
            if let targets = filter.targets {
                code.moveToIndex()
                compare(targets.filter { $0.address.family == family })
            } else {
                code.store(Slot.destination)
                compareWithAnswerer(source, words: UInt32(family.words))
            }
        }

        private mutating func compare(_ prefix: IPPrefix) {
            var rest = Int(prefix.length)
            for (index, word) in prefix.base.words.enumerated() where rest > 0 {
                code.loadPayloadWord(UInt32(index))
                if rest < 32 { code.and(~(UInt32.max >> UInt32(rest))) }
                code.jump(unlessEqual: word, to: reject)
                rest -= 32
            }
        }

        // MARK: Targets

        /// Searches the targets for the address to which X points, word by word.
        private mutating func compare(_ targets: [Target], word: Int = 0) {
            guard let first = targets.first else { return code.jump(to: reject) }
            guard word < first.address.words.count else { return compareServices(targets) }
            let groups = Dictionary(grouping: targets) { $0.address.words[word] }
                .sorted { $0.key < $1.key }
            code.loadPayloadWord(UInt32(word))
            let outer = self
            let cases = groups.map { value, group in
                (
                    value: value,
                    body: { (code: inout FilterAssembler) in
                        var inner = outer
                        inner.code = code
                        inner.compare(group, word: word + 1)
                        code = inner.code
                    }
                )
            }
            code.select(cases[...], else: reject)
        }

        /// Compares protocol and port with those of targets of one address.
        private mutating func compareServices(_ targets: [Target]) {
            let accept = accept
            let accepting = { (code: inout FilterAssembler) in code.jump(to: accept) }
            func cases(_ values: [UInt32]) -> ArraySlice<FilterAssembler.Case> {
                Set(values).sorted().map { (value: $0, body: accepting) }[...]
            }
            if targets.contains(where: { $0.transport == nil && $0.port == nil }) {
                return code.jump(to: accept)
            }
            let protocols = targets.filter { $0.port == nil }.compactMap(\.transport)
            let ports = targets.filter { $0.transport == nil }.compactMap(\.port)
            let both = targets.compactMap { target in
                target.transport.flatMap { transport in
                    target.port.map { UInt32(transport.rawValue) << 16 | UInt32($0) }
                }
            }
            let (second, third) = (code.label(), code.label())
            code.loadMemory(Slot.service)
            code.select(cases(both), else: second)
            code.place(second)
            code.shiftRight(16)
            code.select(cases(protocols.map { UInt32($0.rawValue) }), else: third)
            code.place(third)
            code.loadMemory(Slot.service)
            code.and(0xFFFF)
            code.select(cases(ports.map(UInt32.init)), else: reject)
        }

        // MARK: Translation

        /// Accepts if the reply comes from somewhere else than the request went to.
        private mutating func compareWithAnswerer(_ source: ctattr_ip, words: UInt32) {
            find(CTA_TUPLE_REPLY, orGoTo: reject)
            code.store(Slot.tuple)
            code.findNested(CTA_TUPLE_IP.rawValue, orGoTo: reject)
            code.findNested(source.rawValue, orGoTo: reject)
            code.store(Slot.answerer)
            for index in 0..<words {
                code.loadIndexMemory(Slot.destination)
                code.loadPayloadWord(index)
                code.store(Slot.operand)
                code.loadIndexMemory(Slot.answerer)
                code.loadPayloadWord(index)
                code.loadIndexMemory(Slot.operand)
                code.jump(unlessEqualToIndexGoTo: accept)
            }
            code.loadMemory(Slot.tuple)
            code.findNested(CTA_TUPLE_PROTO.rawValue, orGoTo: reject)
            code.findNested(CTA_PROTO_SRC_PORT.rawValue, orGoTo: reject)
            code.moveToIndex()
            code.loadPayloadShort()
            code.store(Slot.operand)
            code.loadMemory(Slot.service)
            code.and(0xFFFF)
            code.loadIndexMemory(Slot.operand)
            code.jump(unlessEqualToIndexGoTo: accept)
            code.jump(to: reject)
        }
    }
}

extension IPFamily {
    fileprivate var words: Int { bitWidth / 32 }
}

extension IPAddress {
    /// The address in words of 32 bits, the first one first.
    fileprivate var words: [UInt32] {
        let all = [high >> 32, high, low >> 32, low].map { UInt32(truncatingIfNeeded: $0) }
        return family == .ipv4 ? [all[3]] : all
    }
}
