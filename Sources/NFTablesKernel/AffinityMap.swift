internal import CNftnl
internal import NFTables
internal import NetworkTypes
internal import Netlink

/// The dynamic map in which the rules note where the clients of each bucket were sent.
struct AffinityMap {
    let reader: TableReader

    private var definition: SetDefinition { SetDefinition(.affinity) }

    /// Deletes what clients must not be sent to again; returns how many entries there were.
    ///
    /// Runs after the commit that made them stale, so no rule writes such an entry again, except
    /// for packets on their way: hence the second look. An entry may expire between reading and
    /// deleting; the deletion fails whole then and is tried again with what is left.
    func removeStale(
        _ stale: StaleEntries,
        _ lastSeen: inout Int?,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> Int {
        let frontends = stale.sticky.keys.filter { $0.address.family == reader.family }
        guard !frontends.isEmpty else { return 0 }
        var count = 0
        for _ in 0..<10 {
            let entries = try entries(of: frontends, &lastSeen, &socket).filter {
                isStale($0, stale)
            }
            guard !entries.isEmpty else { break }
            var batch = NetlinkBatch(
                subsystem: Constant.subsystem,
                generation: nil,
                firstSequence: socket.nextSequence()
            )
            ElementWriter(
                family: reader.family,
                table: RulesetPrinter.tableName,
                set: definition
            ).append(entries, isDeletion: true, to: &batch)
            do {
                socket.advance(to: batch.sequenceAfter)
                try batch.commit(&socket, subsystem: Constant.subsystem)
                count += entries.count
            } catch  where error.isNotFound {
                continue
            }
        }
        return count
    }

    /// The endpoint that a client is sent to again; nil if its bucket is not remembered.
    func endpoint(
        of client: IPAddress,
        at frontend: FrontendKey,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> AddressAndPort? {
        let key = ClientBucket.key(ClientBucket.of(client), frontend)
        var data = try reader.element(key, of: definition, &socket)?.data.map(ElementReader.init)
        guard let address = data?.address(reader.family), let port = data?.port() else {
            return nil
        }
        return AddressAndPort(address, port)
    }

    /// How many entries there are, if the kernel says so (Linux from 6.16 on).
    func count(_ socket: inout NetlinkSocket) throws(NetlinkError) -> Int? {
        try reader.count(of: definition, &socket)
    }

    /// Asks for each key that the frontends can have, or reads all if those are fewer.
    private func entries(
        of frontends: [FrontendKey],
        _ lastSeen: inout Int?,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> [Element] {
        let count = try count(&socket) ?? lastSeen ?? 0
        guard count > frontends.count * Int(ClientBucket.count) else {
            let all = try reader.elements(of: definition, &socket)
            lastSeen = all.count
            return Array(all.values)
        }
        var entries: [Element] = []
        for frontend in frontends {
            for bucket in 0..<ClientBucket.count {
                let key = ClientBucket.key(bucket, frontend)
                if let entry = try reader.element(key, of: definition, &socket) {
                    entries.append(entry)
                }
            }
        }
        return entries
    }

    private func isStale(_ element: Element, _ stale: StaleEntries) -> Bool {
        var key = ElementReader(element.key)
        var data = element.data.map(ElementReader.init)
        guard key.hostOrderWord() != nil, let frontend = key.frontendKey(reader.family),
            let address = data?.address(reader.family), let port = data?.port()
        else { return false }
        return stale.sticky[frontend].map { !$0.mayRemember(address, port) } ?? false
    }
}
