internal import NFTables
internal import NetworkTypes
internal import Netlink

/// The dynamic map in which the rules note who was sent where.
struct AffinityMap {
    let reader: TableReader

    /// Deletes what clients must not be sent to again; returns how many entries there were.
    ///
    /// Runs after the commit that made them stale, so no rule writes such an entry again, except
    /// for packets on their way: hence the second look. An entry may expire between reading and
    /// deleting; the deletion fails whole then and is tried again with what is left.
    func removeStale(
        _ stale: StaleEntries,
        _ socket: inout NetlinkSocket,
        onCommit: () -> Void
    ) throws(NetlinkError) -> Int {
        guard stale.sticky.keys.contains(where: { $0.address.family == reader.family }) else {
            return 0
        }
        var count = 0
        for _ in 0..<10 {
            let entries = try staleEntries(stale, &socket)
            guard !entries.isEmpty else { break }
            var batch = NetlinkBatch(
                subsystem: Constant.subsystem,
                generation: nil,
                firstSequence: socket.nextSequence()
            )
            ElementWriter(
                family: reader.family,
                table: RulesetPrinter.tableName,
                set: SetDefinition(.affinity)
            ).append(entries, isDeletion: true, to: &batch)
            do {
                socket.advance(to: batch.sequenceAfter)
                try batch.commit(&socket, subsystem: Constant.subsystem)
                onCommit()
                count += entries.count
            } catch  where error.isNotFound {
                continue
            }
        }
        return count
    }

    /// The endpoint that a client is sent to again; nil if it is not remembered.
    func endpoint(
        of client: IPAddress,
        at frontend: FrontendKey,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> (address: IPAddress, port: UInt16)? {
        for element in try reader.elements(of: SetDefinition(.affinity), &socket).values {
            var key = ElementReader(element.key)
            var data = element.data.map(ElementReader.init)
            guard key.address(reader.family) == client,
                key.frontendKey(reader.family) == frontend,
                let address = data?.address(reader.family), let port = data?.port()
            else { continue }
            return (address, port)
        }
        return nil
    }

    private func staleEntries(
        _ stale: StaleEntries,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> [Element] {
        try reader.elements(of: SetDefinition(.affinity), &socket).values.filter { element in
            var key = ElementReader(element.key)
            var data = element.data.map(ElementReader.init)
            guard key.address(reader.family) != nil, let frontend = key.frontendKey(reader.family),
                let address = data?.address(reader.family), let port = data?.port()
            else { return false }
            return stale.sticky[frontend].map { !$0.mayRemember(address, port) } ?? false
        }
    }
}
