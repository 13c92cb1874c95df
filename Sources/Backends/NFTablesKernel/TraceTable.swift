internal import ModelKernel
internal import NFTables
internal import NetworkTypes
internal import Netlink

/// A table that has the packets of one flow traced, and changes nothing about them.
struct TraceTable: ~Copyable {
    private var table: LookingTable

    var id: Ruleset.TableID { table.id }

    /// The packets that are traced, as their senders send them.
    struct Flow {
        let source: IPAddress
        /// Nil: any.
        let sourcePort: UInt16?
        let frontend: FrontendKey
    }

    init(_ flow: Flow) throws(NetlinkError) {
        table = try LookingTable(for: "verify", flow.frontend.address.family) { table, batch in
            table.addPlaces(starting: [flow.expressions], ending: [], &batch)
        }
    }

    /// Removes the table.
    mutating func remove() throws(NetlinkError) { try table.remove() }
}

extension TraceTable.Flow {
    /// The rule that has the packets traced: of TCP only those that open a connection.
    fileprivate var expressions: [KernelExpression] {
        let family = frontend.address.family
        let ports = [(PacketField.sourcePort, sourcePort), (.destinationPort, frontend.port)]
        var expressions: [KernelExpression] = []
        for (field, address) in [
            (PacketField.sourceAddress, source), (.destinationAddress, frontend.address),
        ] {
            expressions += [field].loaded(family)
            expressions.append(.compare(.equal, register: 1, address.networkOrderBytes))
        }
        expressions += frontend.transport.isEqual
        for case (let field, let port?) in ports {
            expressions += [field].loaded(family)
            expressions.append(
                .compare(.equal, register: 1, [UInt8(port >> 8), UInt8(port & 0xFF)])
            )
        }
        if frontend.transport == .tcp { expressions += KernelExpression.isFirstSegment }
        return expressions + [.immediate([1], register: 1), .setMeta(.trace, register: 1)]
    }
}
