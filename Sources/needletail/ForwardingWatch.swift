internal import Backend
internal import KubernetesModel
internal import Netlink
internal import NetworkTypes
internal import Observability
internal import Reconciler
internal import ServiceLifecycle
internal import Threads
internal import ServicePlan

/// Looks for what keeps this node from forwarding, at the start and whenever it may have changed.
///
/// nf_tables and the sysctls notify; iptables-legacy does not, and is looked at once a minute.
struct ForwardingWatch: ServiceLifecycle.Service {
    let reconciler: Reconciler
    /// Yields after each sync of everything.
    let synced: AsyncStream<Void>
    let backend: any Backend
    /// Yields when chains of others may have changed.
    let changes: AsyncStream<Void>
    let monitor: ProxyMonitor

    private static let period = Duration.seconds(60)
    /// Between two looks, whatever happens.
    private static let pause = Duration.seconds(2)

    func run() async throws {
        let bell = Bell()
        // Without it a change is seen a minute later.
        let sysctls = try? NetlinkSubscription(.route, groups: ForwardingSettings.groups).changes {
            ForwardingSettings.isChange($0) ? () : nil
        }
        await withDiscardingTaskGroup { group in
            group.addTask {
                for await _ in changes { bell.ring() }
            }
            group.addTask { for await _ in synced { bell.ring() } }
            if let sysctls { group.addTask { for await _ in sysctls { bell.ring() } } }
            group.addTask {
                while !Task.isCancelled {
                    bell.ring()
                    try? await Task.sleep(for: Self.period)
                }
            }
            group.addTask {
                for await _ in bell.rings {
                    await look()
                    try? await Task.sleep(for: Self.pause)
                }
            }
            try? await gracefulShutdown()
            group.cancelAll()
        }
    }

    private func look() async {
        // Before the first sync nobody knows which families there are.
        guard let facts = await reconciler.facts else { return }
        let pods = facts.podCIDRs
        let families = await families(facts)
        var found = ForwardingSettings.off(families.sorted()).map {
            ForwardingObstacle(sysctl: ForwardingSettings.name($0), of: $0)
        }
        var unread: [String] = []
        do throws(CommitError) {
            found += try await backend.forwardChains()
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

    /// Those of the cluster: a node forwards nothing in another one, and that is fine.
    private func families(_ facts: NodeFacts) async -> Set<IPFamily> {
        let blocks = Set((facts.podCIDRs + facts.serviceCIDRs).map(\.family))
        guard blocks.isEmpty else { return blocks }
        let addresses = Set((reconciler.summary.node?.addresses ?? []).map(\.family))
        return addresses.isEmpty ? [.ipv4] : addresses
    }

    private func obstacle(_ chain: ForwardChain, _ pods: [IPPrefix]) -> ForwardingObstacle? {
        let refusal: String?
        switch chain.ending {
        case .accepted: return nil
        case .droppedByPolicy: refusal = nil
        case .refusedByRule(let word): refusal = word
        }
        if chain.acceptsServices { return nil }
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
