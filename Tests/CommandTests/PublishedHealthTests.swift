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
import Synchronization
import TestSupport
import Testing
import Threads

@testable import needletail

@Suite(.timeLimit(.minutes(30))) struct PublishedHealthTests {
    private struct Answer {
        let path: String
        let expected: Int
        /// One of each server.
        let statuses: [Int]
    }

    // A Service that took 15 s to compile once delayed `/healthz` by as much.
    @Test func `health, metrics and status are told while the reconciler is busy`() async {
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
        let (isBusy, isAnswered) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let answers = Mutex<[Answer]>([])
        // Nothing on this thread can wait for an actor.
        startThread {
            isBusy.wait()
            let all = ask(reconciler)
            answers.withLock { $0 = all }
            isAnswered.signal()
        }
        await reconciler.update { _ in
            isBusy.signal()
            isAnswered.wait()
        }
        let all = answers.withLock(\.self)
        #expect(all.count == 10)
        for answer in all {
            #expect(answer.statuses.contains(answer.expected), "\(answer)")
        }
    }

    private func ask(_ reconciler: Reconciler) -> [Answer] {
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
            traffic: nil,
            journal: Journal(),
            lookAgain: {}
        )
        let expected = [
            ("/healthz", 503), ("/livez", 200), ("/readyz", 503), ("/metrics", 200),
            ("/metrics/slis", 200), ("/status", 200), ("/statusz", 200), ("/configz", 200),
            ("/history", 200), ("/history/plan?service=a/b&at=0", 202),
        ]
        return expected.compactMap { path, expected in
            let text = "GET \(path) HTTP/1.0\r\n\r\n"
            guard case .complete(var request) = HTTPRequest.read(Array(text.utf8)) else {
                return nil
            }
            request.isOnLoopback = true
            let statuses = endpoints.servers.map { $0.routes.answer(request).status }
            return Answer(path: path, expected: expected, statuses: statuses)
        }
    }
}
