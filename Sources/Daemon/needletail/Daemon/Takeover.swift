internal import Backend
internal import KubeProxyLeftovers
internal import KubernetesClient
internal import Logging
internal import Reconciler
internal import ServiceLifecycle

/// Removes kube-proxy's rules once needletail's own are in the kernel and have been read back.
struct Takeover: ServiceLifecycle.Service {
    let reconciler: Reconciler
    /// Yields after each sync.
    let synced: AsyncStream<Void>
    let logger: Logger
    let tell: NodeNews

    func run() async throws {
        var told = ""
        for await _ in synced.cancelOnGracefulShutdown() {
            do throws(CommitError) {
                // This search is cheap, and on most nodes it finds nothing.
                let found = try await KubeProxyLeftovers.remove(dryRun: true)
                guard !found.isEmpty else { break }
                // The kernel must hold everything that it should; this reads it back.
                guard try await reconciler.difference()?.isEmpty == true else { continue }
                _ = try await KubeProxyLeftovers.remove(dryRun: false)
                let note = "removed what kube-proxy had left: \(found.count) objects"
                logger.notice("\(note)")
                tell(NodeEvent(.normal, "TookOver", "Cleanup", note))
                break
            } catch {
                let problem = "what kube-proxy left cannot be removed yet: \(error)"
                if problem != told { logger.error("\(problem)") }
                told = problem
            }
        }
        try? await gracefulShutdown()
    }
}
