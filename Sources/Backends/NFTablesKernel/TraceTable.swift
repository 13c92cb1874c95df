internal import ModelKernel
internal import NFTables
internal import NetworkTypes
internal import Netlink

/// A table that has the packets of one flow traced, and changes nothing about them.
struct TraceTable: ~Copyable {
    private var table: LookingTable

    var id: Ruleset.TableID { table.id }

    /// A packet is traced from the first to the last chain of the node.
    enum Place: String, CaseIterable {
        case received, sent
        case arrived, left

        var hook: BaseChain.Hook {
            switch self {
            case .received: .prerouting
            case .sent: .output
            case .arrived: .input
            case .left: .postrouting
            }
        }

        var isStart: Bool { self == .received || self == .sent }

        /// Before all others at the hook, or behind them; conntrack alone comes later, which confirms
        /// connections (`NF_IP_PRI_CONNTRACK_CONFIRM`).
        var priority: Int32 { isStart ? .min : .max - 1 }
    }

    /// The packets that are traced, as their senders send them.
    struct Flow {
        let source: IPAddress
        /// Nil: any.
        let sourcePort: UInt16?
        let frontend: FrontendKey
    }

    init(_ flow: Flow) throws(NetlinkError) {
        table = try LookingTable(for: "verify", flow.frontend.address.family) { table, batch in
            for place in Place.allCases {
                table.addChain(place.rawValue, place.hook, place.priority, &batch)
                if place.isStart { table.addRule(flow.expressions, to: place.rawValue, &batch) }
            }
        }
    }

    /// Removes the table.
    mutating func remove() throws(NetlinkError) { try table.remove() }
}

extension TraceTable.Flow {
    /// The rule that has the packets traced: of TCP only those that open a connection.
    fileprivate var expressions: [KernelExpression] {
        let family = frontend.address.family
        let length = UInt32(family.byteCount)
        let start: UInt32 = family == .ipv4 ? 12 : 8
        var expressions: [KernelExpression] = [
            .payload(.network, offset: start, length: length, register: 1),
            .compare(.equal, register: 1, source.networkOrderBytes),
            .payload(.network, offset: start + length, length: length, register: 1),
            .compare(.equal, register: 1, frontend.address.networkOrderBytes),
            .meta(.transport, register: 1),
            .compare(.equal, register: 1, [frontend.transport.rawValue]),
        ]
        for (offset, port) in [(0, sourcePort), (2, frontend.port)] {
            guard let port else { continue }
            expressions += [
                .payload(.transport, offset: UInt32(offset), length: 2, register: 1),
                .compare(.equal, register: 1, [UInt8(port >> 8), UInt8(port & 0xFF)]),
            ]
        }
        if frontend.transport == .tcp {
            let (syn, ack): (UInt8, UInt8) = (2, 16)
            expressions += [
                .payload(.transport, offset: 13, length: 1, register: 1),
                .mask(from: 1, into: 1, [syn | ack], xor: [0]),
                .compare(.equal, register: 1, [syn]),
            ]
        }
        return expressions + [.immediate([1], register: 1), .setMeta(.trace, register: 1)]
    }
}
