import Configuration
import Dispatch
import Journal
import KubernetesClient
import LocalhostForwarding
import Logging
import NetworkTypes
import Observability
import PlanCompiler
import Reconciler
import TestSupport
import Testing

@testable import needletail

@Suite(.timeLimit(.minutes(30))) struct PublishedHealthTests {
    private struct NoRequest: Error {}

    // A Service that took 15 s to compile once delayed `/healthz` by as much.
    @Test func `health, metrics and status are told while the reconciler is busy`() async throws {
        let reconciler = Reconciler(
            Cluster(NodeConfiguration(nodeName: "here")),
            awaiting: [.services],
            backend: FakeBackend(),
            interfaceAddresses: [],
            observer: NoObserver(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        for list in [ObjectList.services, .nodes] {
            await reconciler.update(completing: list) { _ in }
        }
        let (entered, leave) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let work = Task.detached {
            await reconciler.update { _ in
                entered.signal()
                leave.wait()
            }
        }
        try ask(reconciler, once: entered)
        leave.signal()
        await work.value
    }

    /// This function is not asynchronous, so nothing in it can wait for an actor.
    private func ask(_ reconciler: Reconciler, once entered: DispatchSemaphore) throws {
        entered.wait()
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let endpoints = ProxyEndpoints(
            monitor: ProxyMonitor(
                ProxyMetrics(version: "1", mode: "nftables"),
                families: [.ipv4],
                patience: 60,
                logger: logger,
                announce: { _, _, _ in },
                onSynced: { _ in }
            ),
            reconciler: reconciler,
            forwarder: LocalhostForwarder(onFailure: { _, _ in }, logger: logger),
            configuration: KubeProxyConfiguration(),
            nodeName: "here",
            hasNode: true,
            view: APIView(),
            journal: Journal(),
            lookAgain: {}
        )
        let expected = [
            ("/healthz", 503), ("/livez", 200), ("/readyz", 503), ("/metrics", 200),
            ("/metrics/slis", 200), ("/status", 200), ("/statusz", 200), ("/configz", 200),
            ("/history", 200), ("/history/plan?service=a/b&at=0", 202),
        ]
        for (path, status) in expected {
            let text = "GET \(path) HTTP/1.0\r\n\r\n"
            guard case .complete(var request) = HTTPRequest.read(Array(text.utf8)) else {
                throw NoRequest()
            }
            request.isOnLoopback = true
            let answers = endpoints.servers.map { $0.routes.answer(request).status }
            #expect(answers.contains(status), "\(path): \(answers)")
        }
    }
}
