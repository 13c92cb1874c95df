internal import Backend
internal import NetworkTypes
internal import Observability
internal import ServiceLifecycle

/// Reads figures for the metrics from the backend, after each sync and after each request for the
/// metrics.
///
/// So a request for the metrics never waits for a busy backend; it gets the figures of the last
/// reading.
struct KernelFigures: ServiceLifecycle.Service {
    let backend: any Backend
    let metrics: ProxyMetrics
    /// The number of Services for which connections are counted; 0 for none.
    let serviceMetrics: Int
    let rings: AsyncStream<Void>

    /// The least time between two readings of connection counts, since a reading goes through all
    /// frontends.
    private static let pause = Duration.seconds(1)

    func run() async throws {
        for await _ in rings.cancelOnGracefulShutdown() {
            metrics.elements.replace(
                await backend.elementCounts().map {
                    ([$0.set, $0.family.kubernetesName], Double($0.count))
                }
            )
            guard serviceMetrics > 0 else { continue }
            let counts = await backend.connectionCounts()
            metrics.setConnections(counts, atMost: serviceMetrics)
            try? await cancelWhenGracefulShutdown { try await Task.sleep(for: Self.pause) }
        }
    }
}
