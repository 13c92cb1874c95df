internal import Backend
internal import KubernetesModel
internal import Netlink
internal import NetworkTypes
internal import Observability
internal import Reconciler
internal import ServiceLifecycle
internal import Threads
internal import ServicePlan

/// Looks for settings, rules and routes that keep this node from forwarding, at the start and whenever they
/// may have changed.
///
/// nf_tables and the sysctls send notifications. iptables-legacy does not, so it is read once a
/// minute.
struct ForwardingWatch: ServiceLifecycle.Service {
    let reconciler: Reconciler
    /// Yields after each sync of everything.
    let synced: AsyncStream<Void>
    let backend: any Backend
    /// Yields when chains of other programs may have changed.
    let changes: AsyncStream<Void>
    let monitor: ProxyMonitor
    /// Whether everything that is sent to cluster IPs is masqueraded.
    let masqueradesAll: Bool

    private static let period = Duration.seconds(60)
    /// The least time between two checks.
    private static let pause = Duration.seconds(2)

    func run() async throws {
        let bell = Bell()
        // Without the subscription, a change is noticed up to a minute later.
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
        // Before the first sync the cluster's IP families are not known.
        guard let facts = await reconciler.facts else { return }
        let pods = facts.podCIDRs
        let families = await families(facts)
        var found = ForwardingSettings.off(families.sorted()).map {
            ForwardingObstacle(sysctl: ForwardingSettings.name($0), of: $0)
        }
        var unread: [String] = []
        do throws(NetlinkError) {
            let interfaces = try Interfaces()
            found += unfilteredBridges(interfaces, facts, families.sorted())
            let summary = reconciler.summary
            let routing = RoutingObstacles(
                interfaces: interfaces,
                nodeAddresses: summary.nodeAddresses
            )
            found += try routing.strictFilters()
            // What is masqueraded is answered to the node.
            if !masqueradesAll { found += try routing.bypasses(summary.localEndpoints) }
        } catch {
            unread.append("\(error)")
        }
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

    private func unfilteredBridges(
        _ interfaces: Interfaces,
        _ facts: NodeFacts,
        _ families: [IPFamily]
    ) -> [ForwardingObstacle] {
        let unfiltered = ForwardingSettings.unfilteredOnBridges(families)
        // What is masqueraded is answered to the node, which translates it back.
        guard !unfiltered.isEmpty, !masqueradesAll else { return [] }
        let named = families.compactMap { family in
            if case .interface(let name) = facts.localDetection(family) { name } else { nil }
        }
        let bridges = interfaces.bridges(in: facts.podCIDRs, or: named)
        guard !bridges.isEmpty else { return [] }
        return unfiltered.map {
            ForwardingObstacle(
                bridges: bridges,
                sysctl: ForwardingSettings.bridgeName($0.family),
                $0.value,
                of: $0.family
            )
        }
    }

    /// Returns the IP families of the cluster; it does not matter whether the node forwards packets
    /// of other families.
    private func families(_ facts: NodeFacts) async -> Set<IPFamily> {
        let blocks = Set((facts.podCIDRs + facts.serviceCIDRs).map(\.family))
        guard blocks.isEmpty else { return blocks }
        let addresses = Set(reconciler.summary.nodeAddresses.map(\.family))
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
