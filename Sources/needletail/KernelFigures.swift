internal import NFTablesKernel
internal import NetworkTypes
internal import Observability
internal import ServiceLifecycle
internal import ServicePlan

/// Reads from the dataplane what is not counted as it happens, after each sync and each look at the
/// metrics; so who looks at them does not wait for a dataplane that is busy.
struct KernelFigures: ServiceLifecycle.Service {
    let dataplane: OpenDataplane
    let metrics: ProxyMetrics
    /// For how many Services connections are counted.
    let serviceMetrics: Int
    let rings: AsyncStream<Void>

    /// The counts of connections are read no more often: it costs a look at all frontends.
    private static let pause = Duration.seconds(1)

    func run() async throws {
        for await _ in rings.cancelOnGracefulShutdown() {
            metrics.elements.replace(
                await dataplane.nftables.elementCounts().map {
                    ([$0.set, $0.family.kubernetesName], Double($0.count))
                }
            )
            guard serviceMetrics > 0 else { continue }
            let counts = await dataplane.active.connectionCounts()
            metrics.setConnections(counts, atMost: serviceMetrics)
            try? await cancelWhenGracefulShutdown { try await Task.sleep(for: Self.pause) }
        }
    }
}
