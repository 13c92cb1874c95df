import FoundationEssentials
import KubernetesClient
import KubernetesModel
import Logging
import TestSupport
import Testing

/// Against a real socket: list, watch, failures, and again.
@Suite(.timeLimit(.minutes(5))) struct InformerTests {
    private func logger() -> Logger {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }

    private func service(_ name: String, _ version: Int) -> String {
        #"{"metadata": {"name": "\#(name)", "namespace": "n", "resourceVersion": "\#(version)"}, "spec": {"clusterIP": "10.96.0.1"}}"#
    }

    private func collect(_ answers: [ScriptedServer.Answer], count: Int) async throws -> (
        events: [String], requests: [String]
    ) {
        let server = ScriptedServer(answers)
        server.start()
        let client = APIClient(Credentials(server: "http://127.0.0.1:\(server.port)"))
        let (stream, continuation) = AsyncStream<String>.makeStream()
        let informer = Informer<Service>(client, nodeName: "here", logger: logger())
        let task = Task {
            await informer.run { event in
                switch event {
                case .replaced(let list):
                    continuation.yield("list \(list.map(\.name.name).joined(separator: ","))")
                case .set(let object): continuation.yield("set \(object.name.name)")
                case .removed(let object): continuation.yield("removed \(object.name.name)")
                }
            }
        }
        var events: [String] = []
        for await event in stream.prefix(count) { events.append(event) }
        task.cancel()
        server.stop()
        return (events, server.requests)
    }

    @Test func `lists, watches, and resumes after a clean end`() async throws {
        let (events, requests) = try await collect(
            [
                .json(#"{"metadata": {"resourceVersion": "10"}, "items": [\#(service("a", 9))]}"#),
                .chunks([#"{"type":"ADDED","object":\#(service("b", 11))}"# + "\n"]),
                .chunks([#"{"type":"DELETED","object":\#(service("a", 12))}"# + "\n"]),
            ],
            count: 3
        )
        #expect(events == ["list a", "set b", "removed a"])
        #expect(
            requests[1].contains("resourceVersion=10") && requests[2].contains("resourceVersion=11")
        )
        #expect(requests[0].contains("labelSelector=%21service.kubernetes.io%2Fservice-proxy-name"))
    }

    @Test func `an expired version leads to a new list`() async throws {
        let (events, _) = try await collect(
            [
                .json(#"{"metadata": {"resourceVersion": "10"}, "items": []}"#),
                .chunks([
                    #"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}"#
                        + "\n"
                ]),
                .json(#"{"metadata": {"resourceVersion": "20"}, "items": [\#(service("c", 19))]}"#),
            ],
            count: 2
        )
        #expect(events == ["list ", "list c"])
    }

    @Test func `one unreadable item harms no other`() async throws {
        let (events, _) = try await collect(
            [
                .json(
                    #"{"metadata": {"resourceVersion": "10"}, "items": [{"metadata": {"name": "x"}, "spec": 5}, \#(service("a", 9))]}"#
                )
            ],
            count: 1
        )
        #expect(events == ["list a"])
    }

    @Test func `refusals and dropped connections are survived`() async throws {
        let (events, _) = try await collect(
            [
                .status(503, "busy"), .drop,
                .json(#"{"metadata": {"resourceVersion": "10"}, "items": [\#(service("a", 9))]}"#),
            ],
            count: 1
        )
        #expect(events == ["list a"])
    }

    @Test func `the server's own pause is told`() async throws {
        let server = ScriptedServer([.status(429, "slow down", retryAfter: 7)])
        server.start()
        defer { server.stop() }
        let client = APIClient(Credentials(server: "http://127.0.0.1:\(server.port)"))
        let error = await #expect(throws: ClientError.self) {
            try await client.list(Service.self, nodeName: "here")
        }
        guard case .status(_, 429, "slow down", .seconds(7)) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }
}
