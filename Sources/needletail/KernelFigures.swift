internal import Backend
internal import NetworkTypes
internal import Observability
internal import ServiceLifecycle

/// Reads from the backend what is not counted as it happens, after each sync and each look at the
/// metrics; so who looks at them does not wait for a backend that is busy.
struct KernelFigures: ServiceLifecycle.Service {
    let backend: any Backend
    let metrics: ProxyMetrics
    /// For how many Services connections are counted.
    let serviceMetrics: Int
    let rings: AsyncStream<Void>

    /// The counts of connections are read no more often: it costs a look at all frontends.
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
