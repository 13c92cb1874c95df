internal import Backend
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
        let summary = reconciler.summary
        let check = ForwardingCheck(
            facts: facts,
            nodeAddresses: summary.nodeAddresses,
            localEndpoints: summary.localEndpoints,
            masqueradesAll: masqueradesAll
        )
        let (found, unread) = await check.obstacles(backend)
        monitor.setForwarding(found, unread: unread)
    }
}
