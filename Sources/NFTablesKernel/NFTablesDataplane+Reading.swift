internal import Logging
internal import NFTables
package import NetworkTypes
internal import Netlink
package import ServicePlan

extension NFTablesDataplane {
    /// The endpoint that the kernel remembers for a client of a frontend with affinity.
    package func rememberedEndpoint(
        of client: IPAddress,
        at frontend: FrontendKey
    ) throws(CommitError) -> (address: IPAddress, port: UInt16)? {
        do throws(NetlinkError) {
            let map = AffinityMap(reader: TableReader(family: frontend.address.family))
            return try map.endpoint(of: client, at: frontend, &socket)
        } catch {
            throw CommitError(error)
        }
    }

    package func connectionCounts() -> [String: UInt64] {
        var counts: [String: UInt64] = [:]
        for family in families where tables[family] != nil {
            let reader = TableReader(family: family)
            for (label, count) in (try? reader.connectionCounts(&socket)) ?? [] {
                // namespace/name:port
                counts[String(label.prefix { $0 != ":" }), default: 0] += count
            }
        }
        return counts
    }

    /// The elements of each set, as committed; of the affinity map as the kernel counts them.
    package func elementCounts() -> [(set: String, family: IPFamily, count: Int)] {
        tables.flatMap { family, state in
            let known = state.elementCounts.map { ($0.key.name, family, $0.value) }
            let affinity = lookAtAffinity(family).map { [(SetID.affinity.name, family, $0)] }
            return known + (affinity ?? [])
        }
    }

    /// The entries of the affinity map, if they can be counted; warns before no more fit.
    @discardableResult
    func lookAtAffinity(_ family: IPFamily) -> Int? {
        let map = AffinityMap(reader: TableReader(family: family))
        guard let count = try? map.count(&socket) ?? affinityFill.lastSeen[family] else {
            return nil
        }
        if affinityFill.isWorthAWarning(count, family) {
            logger.warning(
                """
                the affinity map is almost full; new clients of Services with sessionAffinity ClientIP will \
                not be remembered: find the Service whose clients are so many (nft list map \
                \(family.nftName) \(RulesetPrinter.tableName) affinity), or make its timeout shorter
                """,
                metadata: ["entries": "\(count)", "limit": "\(AffinityFill.limit)"]
            )
        }
        return count
    }
}
