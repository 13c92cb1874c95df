internal import ClusterStore
internal import NFTablesKernel
internal import Netlink
internal import NetworkTypes
internal import Observability
internal import ServiceLifecycle
internal import ServicePlan

/// Looks for what keeps this node from forwarding, at the start and whenever it may have changed.
///
/// nf_tables and the sysctls notify; iptables-legacy does not, and is looked at once a minute.
struct ForwardingWatch: ServiceLifecycle.Service {
    let store: ClusterStore
    let dataplane: OpenDataplane
    let monitor: ProxyMonitor

    private static let period = Duration.seconds(60)
    /// Between two looks, whatever happens.
    private static let pause = Duration.seconds(2)

    func run() async throws {
        let (rings, bell) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let sysctls = try NetlinkSubscription(.route, groups: ForwardingSettings.groups).changes {
            ForwardingSettings.isChange($0) ? () : nil
        }
        await withDiscardingTaskGroup { group in
            group.addTask {
                for await _ in dataplane.nftables.forwardingChanges { bell.yield() }
            }
            group.addTask { for await _ in sysctls { bell.yield() } }
            group.addTask {
                while !Task.isCancelled {
                    bell.yield()
                    try? await Task.sleep(for: Self.period)
                }
            }
            group.addTask {
                for await _ in rings {
                    await look()
                    try? await Task.sleep(for: Self.pause)
                }
            }
            try? await gracefulShutdown()
            group.cancelAll()
        }
    }

    private func look() async {
        let facts = await store.facts
        let pods = facts?.podCIDRs ?? []
        let blocks = pods + (facts?.serviceCIDRs ?? [])
        // A node without a family forwards nothing in it, and that is fine.
        let families = blocks.isEmpty ? [.ipv4] : Set(blocks.map(\.family))
        var found = ForwardingSettings.off(families.sorted()).map {
            ForwardingObstacle(sysctl: ForwardingSettings.name($0), of: $0)
        }
        var unread: [String] = []
        do throws(CommitError) {
            found += try await dataplane.nftables.forwardChains()
                .filter { !families.isDisjoint(with: $0.place.families) }
                .compactMap { obstacle($0, pods) }
        } catch {
            unread.append("\(error)")
        }
        for family in families.sorted() {
            do throws(NetlinkError) {
                guard let chain = try XTables(family).forwardChain(), chain.drops else { continue }
                found.append(
                    ForwardingObstacle(
                        legacyChainOf: family,
                        ruleCount: chain.ruleCount,
                        targets: chain.targets,
                        pods: pods
                    )
                )
            } catch {
                unread.append("\(error)")
            }
        }
        monitor.setForwarding(found, unread: unread)
    }

    private func obstacle(_ chain: ForwardChain, _ pods: [IPPrefix]) -> ForwardingObstacle? {
        let refusal: String?
        switch chain.ending {
        case .accepted: return nil
        case .droppedByPolicy: refusal = nil
        case .refusedByRule(let word): refusal = word
        }
        // IPVS translates without telling connection tracking that it did.
        if chain.acceptsTranslated, dataplane.active is NFTablesDataplane { return nil }
        return ForwardingObstacle(
            chain: chain.place.chain,
            of: chain.place.table,
            chain.place.familyName,
            chain.place.families,
            refusal: refusal,
            ruleCount: chain.ruleCount,
            targets: chain.targets,
            pods: pods
        )
    }
}
