@testable import KubernetesClient
import KubernetesModel
import KubernetesWire
import Logging
import Synchronization
import TestSupport
import Testing

/// Tests with objects that cannot be read; a tenant may create them, and others must not be
/// affected.
@Suite(.timeLimit(.minutes(30))) struct UnreadableObjectTests {
    private func client(_ server: ScriptedServer) -> APIClient {
        APIClient(Credentials(server: "http://127.0.0.1:\(server.port)"))
    }

    private func list(_ body: [UInt8], _ encoding: WireEncoding = .protobuf) throws
        -> ListPage<Service>
    {
        var decoder = ListDecoder<Service>(encoding)
        try decoder.append(body)
        return try decoder.finish()
    }

    private func events(
        _ body: [UInt8],
        _ encoding: WireEncoding = .protobuf
    ) throws -> [WatchEvent<Service>] {
        var decoder = WatchDecoder<Service>(encoding)
        decoder.append(body)
        var events: [WatchEvent<Service>] = []
        while let event = try decoder.next() { events.append(event) }
        return events
    }

    @Test func `a text that nobody reads may be anything`() throws {
        let odd = WireBytes.service(Array("a".utf8), annotation: WireBytes.notUTF8)
        let page = try list(WireBytes.list([odd, WireBytes.service("b")]))
        #expect(page.objects.map(\.name.name) == ["a", "b"] && page.unreadable.isEmpty)
        let all = try events(WireBytes.event("ADDED", odd))
        guard case .set(let service)? = all.first?.payload else {
            Issue.record("\(all)")
            return
        }
        #expect(service.ports.map(\.port) == [80] && service.problems.isEmpty)
    }

    @Test func `of what is read, what is no UTF-8 is a problem of its field`() throws {
        let spec = WireBytes.field(2, WireBytes.field(5, WireBytes.notUTF8))
        let odd = WireBytes.service(Array("a".utf8), tail: spec)
        let service = try #require(try list(WireBytes.list([odd])).objects.first)
        #expect(service.clusterIPs.count == 1 && service.externalIPs.isEmpty)
        #expect(service.problems.map(\.field) == ["spec.externalIPs[0]"])
    }

    @Test func `JSON with what is no UTF-8 is read as Go writes it`() throws {
        let head = #"{"type": "ADDED", "object": {"metadata": {"name": "a", "annotations": {"x": ""#
        let line = Array(head.utf8) + WireBytes.notUTF8 + Array("\"}}}}\n".utf8)
        guard case .set(let service)? = try events(line, .json).first?.payload else {
            Issue.record("it was not read")
            return
        }
        #expect(service.name.name == "a")
    }

    @Test func `JSON that is nested too deeply is one object's trouble`() throws {
        let deep = String(repeating: "[", count: 3000) + String(repeating: "]", count: 3000)
        let object =
            #"{"spec": {}, "metadata": {"managedFields": \#(deep), "name": "a", "namespace": "n", "resourceVersion": "8"}}"#
        let all = try events(
            Array((#"{"type": "ADDED", "object": \#(object)}"# + "\n").utf8),
            .json
        )
        guard case .unreadable(let unreadable)? = all.first?.payload else {
            Issue.record("\(all)")
            return
        }
        #expect(unreadable.place == "n/a" && all.first?.resourceVersion == "8")
    }

    @Test(arguments: [
        WireBytes.service(Array("a".utf8), tail: WireBytes.damage),
        // A number of eleven bytes is invalid.
        WireBytes.service(Array("a".utf8), tail: [0x20] + [UInt8](repeating: 0xFF, count: 11)),
    ])
    func `damage is told with the object's name`(damaged: [UInt8]) throws {
        let page = try list(WireBytes.list([WireBytes.service("b"), damaged]))
        #expect(page.objects.map(\.name.name) == ["b"] && page.unreadable.map(\.place) == ["n/a"])
        let all = try events(
            WireBytes.event("ADDED", damaged) + WireBytes.event("DELETED", damaged)
        )
        #expect(all.map(\.resourceVersion) == ["7", "7"])
        guard case .unreadable? = all.first?.payload, case .removed(let name)? = all.last?.payload
        else {
            Issue.record("\(all)")
            return
        }
        #expect(name == ObjectName(namespace: "n", name: "a"))
    }

    @Test func `bad objects without end hold nothing up, in streams and events`() async throws {
        let bad = { (version: Int) in
            WireBytes.service(Array("b".utf8), version: "\(version)", tail: WireBytes.damage)
        }
        let initial = [
            WireBytes.event("ADDED", WireBytes.service("a")), WireBytes.event("ADDED", bad(8)),
            WireBytes.endOfInitialEvents(version: "10"),
        ]
        let changes = (20..<320).map { WireBytes.event("MODIFIED", bad($0)) }
        let server = ScriptedServer([
            .protobufWatch(initial),
            // One more list is made, in case the object was damaged in transit.
            .protobufWatch(
                initial + changes + [
                    WireBytes.event("ADDED", WireBytes.service("c", version: "400")),
                    WireBytes.event("MODIFIED", WireBytes.service("b", version: "401")),
                ] + [WireBytes.event("MODIFIED", bad(402)), WireBytes.event("DELETED", bad(403))]
            ),
        ])
        server.start()
        defer { server.stop() }
        let view = APIView()
        let log = CapturedLog()
        var services = Observed(
            Informer<Service>(client(server), nodeName: "here", view: view, logger: log.logger)
        )
        for _ in 0..<5 { await services.next() }
        #expect(services.log == ["list a", "list a", "set c", "set b", "removed b"])
        #expect(view.kinds["Service"]?.unreadable == 0)
        let requests = await server.requests(count: 3)
        #expect(requests[2].contains("resourceVersion=403"))
        services.stop()
        let lines = log.lines.filter { $0.contains("n/b") }
        #expect(lines.count == 3, "\(lines)")
        #expect(
            lines[0].hasPrefix(
                "warning Service n/b: it is no valid protobuf: truncated; it is set aside"
            )
        )
        #expect(lines[1] == "notice Service n/b can be read again")
    }

    @Test func `a bad object of a plain list is set aside at once, and counted`() async throws {
        let bad = WireBytes.service(Array("b".utf8), tail: WireBytes.damage)
        let server = ScriptedServer { line in
            line.contains("watch=true")
                ? .status(422, "no streaming lists")
                : .protobuf(WireBytes.list([WireBytes.service("a"), bad]))
        }
        server.start()
        defer { server.stop() }
        let view = APIView()
        var services = Observed(
            Informer<Service>(client(server), nodeName: "here", view: view, logger: .silent)
        )
        #expect(await services.next() == "list a")
        #expect(view.kinds["Service"]?.unreadable == 1)
        services.stop()
    }

    @Test func `an object whose name cannot be read may be any of its namespace`() throws {
        let nameless = WireBytes.service(WireBytes.notUTF8)
        let page = try list(WireBytes.list([WireBytes.service("a"), nameless]))
        let names = page.unreadable.names
        #expect(page.objects.map(\.name.name) == ["a"])
        #expect(names.contains(ObjectName(namespace: "n", name: "b")))
        #expect(!names.contains(ObjectName(namespace: "other", name: "b")))
        let homeless = try list(WireBytes.list([WireBytes.damage])).unreadable.names
        #expect(homeless.contains(ObjectName(namespace: "other", name: "b")))
        // The deleted object cannot be identified, so a new list has to show which one it was.
        #expect(throws: WireError.self) { try events(WireBytes.event("DELETED", nameless)) }
    }
}

/// The captured log lines, as level and message.
final class CapturedLog: Sendable {
    private let captured = Mutex<[String]>([])

    var lines: [String] { captured.withLock { $0 } }

    var logger: Logger {
        var logger = Logger(label: "test") { _ in Handler(log: self) }
        logger.logLevel = .debug
        return logger
    }

    private struct Handler: LogHandler {
        let log: CapturedLog
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.debug

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            self.log.captured.withLock { $0.append("\(event.level) \(event.message)") }
        }
    }
}
