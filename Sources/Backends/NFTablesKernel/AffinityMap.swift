internal import CNftnl
internal import NFTables
internal import NetworkTypes
internal import Netlink

/// The dynamic map `affinity` in the kernel, in which the rules store the endpoint of each bucket
/// of clients.
struct AffinityMap {
    let reader: TableReader

    private var definition: SetDefinition { SetDefinition(.affinity) }

    /// Deletes the entries whose endpoints clients must no longer be sent to, and returns their
    /// number.
    ///
    /// This runs after the commit that made the entries stale, so only packets that are already on
    /// their way can add such an entry again. Therefore the map is read again until nothing is
    /// stale. An entry may expire between reading and deleting; then the whole deletion fails and
    /// is tried again with the remaining entries.
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

    /// Returns the endpoint to which a client is sent again; nil if its bucket has no entry.
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

    /// Returns the number of entries; nil if the kernel does not report it (before Linux 6.16).
    func count(_ socket: inout NetlinkSocket) throws(NetlinkError) -> Int? {
        try reader.count(of: definition, &socket)
    }

    /// Returns the entries of the frontends by asking for each possible key, or all entries if
    /// there are fewer of those.
    private func entries(
        of frontends: [FrontendKey],
        _ lastSeen: inout Int?,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> [Element] {
        let count = try count(&socket) ?? lastSeen ?? 0
        guard count > frontends.count * Int(ClientBucket.count) else {
            let all = try reader.elements(of: definition, &socket)
            lastSeen = all.count
            return all.all
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
