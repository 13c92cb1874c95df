import EmbeddedAPIServer
import FoundationEssentials
@testable import KubernetesClient
import KubernetesModel
import TestSupport
import Testing

/// Tests of failures in transit, with the embedded API server and with recorded bytes.
@Suite(.timeLimit(.minutes(30))) struct FaultTests {
    private func start(
        _ configuration: APIServer.Configuration = .init(),
        services: [String] = ["a"]
    ) throws -> (server: APIServer, url: String) {
        let server = APIServer(configuration)
        for name in services { try server.apply(Sample.service(name)) }
        let listener = try server.listen()
        listener.start()
        return (server, listener.url)
    }

    private func client(
        _ url: String,
        _ encoding: WireEncoding = .protobuf,
        patience: Int = 600
    ) -> APIClient {
        var limits = APIClient.Patience()
        (limits.request, limits.watch) = (.seconds(patience), .seconds(patience))
        return APIClient(Credentials(server: url), encoding: encoding, patience: limits)
    }

    @Test(arguments: Fault.Kind.allCases, WireEncoding.allCases)
    func `any fault is survived, and nothing is lost`(
        kind: Fault.Kind,
        encoding: WireEncoding
    ) async throws {
        let (server, url) = try start()
        defer { server.stop() }
        server.inject(Fault(kind, path: "/api/v1/services", afterEvents: 1))
        var services = Observed<Service>(client(url, encoding, patience: 1))
        await services.wait { $0["a"] != nil }
        for name in ["b", "c"] {
            server.inject(Fault(kind, path: "/api/v1/services", afterEvents: 1))
            try server.apply(Sample.service(name))
            await services.wait { $0[name] != nil }
        }
        server.delete("Service", "default", "a")
        await services.wait { $0["a"] == nil }
        #expect(services.view.keys.sorted() == ["b", "c"])
        services.stop()
    }

    @Test(arguments: [APIServer.Configuration.WatchList.refused, .unknown])
    func `a server without streaming lists is listed`(
        mode: APIServer.Configuration.WatchList
    ) async throws {
        var configuration = APIServer.Configuration()
        configuration.watchList = mode
        let (server, url) = try start(configuration)
        defer { server.stop() }
        var services = Observed<Service>(client(url))
        await services.wait { $0["a"] != nil }
        try server.apply(Sample.service("b"))
        await services.wait { $0["b"] != nil }
        #expect(server.requests.contains { !$0.contains("watch=true") })
        services.stop()
    }

    @Test func `a list that stalls is given up`() async throws {
        let (server, url) = try start()
        defer { server.stop() }
        server.inject(Fault(.stall, path: "/api/v1/services"))
        let error = await #expect(throws: ClientError.self) {
            try await client(url, patience: 1).page(Service.self, [:])
        }
        guard case .transport = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func `a server without protobuf is asked for JSON`() async throws {
        var configuration = APIServer.Configuration()
        configuration.hasProtobuf = false
        let (server, url) = try start(configuration)
        defer { server.stop() }
        var services = Observed<Service>(client(url))
        await services.wait { $0["a"] != nil }
        services.stop()
    }

    @Test func `406 leads to JSON`() async throws {
        let server = ScriptedServer([
            .status(406, "only JSON here"), .status(406, "only JSON here"),
            .json(#"{"kind": "ServiceList", "metadata": {"resourceVersion": "10"}, "items": []}"#),
        ])
        server.start()
        defer { server.stop() }
        let page: ListPage<Service> = try await client("http://127.0.0.1:\(server.port)")
            .page(Service.self, [:])
        #expect(page.resourceVersion == "10")
    }

    @Test func `after a compaction the new list brings exactly the differences`() async throws {
        let (server, url) = try start(services: ["a", "b"])
        defer { server.stop() }
        var services = Observed<Service>(client(url, patience: 5))
        await services.wait { $0.count == 2 }
        // The watch is cut, and the version it would continue from is forgotten.
        server.inject(Fault(.refuse, path: "/api/v1/services", code: 503))
        server.inject(Fault(.expire, path: "/api/v1/services"))
        try server.apply(Sample.service("c"))
        await services.wait { $0["c"] != nil }
        server.delete("Service", "default", "a")
        await services.wait { $0["a"] == nil }
        #expect(services.view.keys.sorted() == ["b", "c"])
        services.stop()
    }

    @Test func `an expired page leads to a whole list`() async throws {
        var configuration = APIServer.Configuration()
        configuration.watchList = .refused
        let (server, url) = try start(configuration, services: (0..<501).map { "s\($0)" })
        defer { server.stop() }
        // The second page's token has expired; the first list comes from the cache, in one piece.
        let informer = Informer<Service>(client(url), nodeName: "here", logger: .silent)
        #expect(try await informer.list().count == 501)
        #expect(server.requests.count { $0.contains("continue=") } == 1)
        server.inject(Fault(.expire, path: "/api/v1/services"))
        await #expect(throws: ClientError.self) { try await informer.list() }
    }

    @Test func `pages without end are given up`() async throws {
        let server = ScriptedServer { _ in
            .json(
                #"{"kind": "ServiceList", "metadata": {"resourceVersion": "1", "continue": "more"}, "items": [{"metadata": {"name": "a"}}]}"#
            )
        }
        server.start()
        defer { server.stop() }
        let informer = Informer<Service>(
            client("http://127.0.0.1:\(server.port)"),
            nodeName: "here",
            logger: .silent
        )
        let error = await #expect(throws: ClientError.self) { try await informer.list() }
        #expect(error?.kind == .unusual)
        #expect(server.requests.count == 1 + ListProgress.idleLimit)
    }

    @Test func `no server is obeyed for longer than two minutes`() async throws {
        let server = ScriptedServer([.status(429, "busy", retryAfter: 2_000_000_000)])
        server.start()
        defer { server.stop() }
        let error = await #expect(throws: ClientError.self) {
            try await client("http://127.0.0.1:\(server.port)").page(Service.self, [:])
        }
        #expect(error?.status?.retryAfter == .seconds(120))
    }

    @Test(arguments: [0, 1])
    func `a streaming list that does not end is given up for a plain one`(
        events: Int
    ) async throws {
        let (server, url) = try start()
        defer { server.stop() }
        server.inject(Fault(.stall, path: "/api/v1/services", afterEvents: events))
        let log = CapturedLog()
        var services = Observed(
            Informer<Service>(
                client(url),
                nodeName: "here",
                initialLimit: .milliseconds(50),
                logger: log.logger
            )
        )
        #expect(await services.next() == "list a")
        services.stop()
        #expect(server.requests.last { !$0.contains("watch=true") } != nil)
        #expect(log.lines.contains { $0.contains("the streaming list was not complete after") })
    }

    @Test func `when the server is back, all follow as soon as one has reached it`() async throws {
        // Nobody else is given a port of this address while the server is away.
        let address = "127.0.0.77"
        let server = APIServer()
        defer { server.stop() }
        for object in [Sample.service("a"), Sample.slice("s", ["10.1.0.1"])] {
            try server.apply(object)
        }
        let first = try server.listen(address)
        first.start()
        server.stop()
        let client = client(first.url)
        // Alone, this informer would ask again after half a minute at the earliest.
        let log = CapturedLog()
        var slices = Observed(
            Informer<EndpointSlice>(
                client,
                nodeName: "here",
                firstPause: .seconds(300),
                logger: log.logger
            )
        )
        while log.lines.isEmpty { await Task.yield() }
        let listener = try server.listen(address, port: first.port)
        listener.start()
        let start = ContinuousClock.now
        var services = Observed<Service>(client)
        #expect(await services.next() == "list a")
        #expect(await slices.next() == "list s")
        #expect(.now - start < .seconds(25))
        services.stop()
        slices.stop()
    }

    @Test func `a refusal is reported, and what comes later is`() async throws {
        let (server, url) = try start()
        defer { server.stop() }
        server.inject(Fault(.refuse, path: "/api/v1/services", count: 2, code: 403))
        let view = APIView()
        var services = Observed(
            Informer<Service>(
                client(url),
                nodeName: "here",
                view: view,
                firstPause: .milliseconds(5),
                logger: .silent
            )
        )
        #expect(await services.next() == "refused")
        #expect(await services.next() == "refused")
        #expect(await services.next() == "list a")
        services.stop()
    }

    @Test func `an unreadable object keeps what was there before`() async throws {
        let service = { (name: String) in
            #"{"metadata": {"name": "\#(name)", "namespace": "n"}, "spec": {"clusterIP": "10.96.0.1"}}"#
        }
        let list = { (items: String) in
            ScriptedServer.Answer.json(
                #"{"kind": "ServiceList", "metadata": {"resourceVersion": "10"}, "items": [\#(items)]}"#
            )
        }
        let broken = #"{"metadata": {"name": "b", "namespace": "n"}, "spec": 5}"#
        let server = ScriptedServer([
            .status(422, "no streaming lists"), list("\(service("a")),\(service("b"))"),
            .chunks([
                #"{"type": "ERROR", "object": {"kind": "Status", "code": 410}}"# + "\n"
            ]), list("\(service("c")),\(broken)"),
            // The object may have been damaged in transit, so another list has to confirm it.
            list("\(service("c")),\(broken)"),
        ])
        server.start()
        defer { server.stop() }
        var services = Observed<Service>(client("http://127.0.0.1:\(server.port)"))
        await services.next()
        await services.next()
        #expect(services.view.keys.sorted() == ["b", "c"])
        services.stop()
    }

    @Test(arguments: Recordings.all.negative.keys.filter { !$0.contains("/list-") }.sorted())
    func `after a damaged watch the next one goes on from the last good event`(
        name: String
    ) async throws {
        let expected = Recordings.all.negative[name] ?? .null
        let list =
            #"{"kind": "ServiceList", "metadata": {"resourceVersion": "350"}, "items": []}"#
        let type =
            name.hasSuffix(".pb")
            ? "application/vnd.kubernetes.protobuf;stream=watch" : "application/json"
        let server = ScriptedServer([
            .status(422, "no streaming lists"), .json(list),
            .body(try Recordings.bytes(name), type: type), .json(list),
        ])
        server.start()
        defer { server.stop() }
        let observed = Observed<Service>(client("http://127.0.0.1:\(server.port)"))
        // The request after the damage is the fourth.
        let requests = await server.requests(count: 4)
        let version = expected["lastGoodResourceVersion"].string ?? "350"
        let others = (expected["alsoAcceptableCompleteFrames"].array ?? []).isEmpty
        if others { #expect(requests[3].contains("resourceVersion=\(version) "), "\(requests[3])") }
        #expect(requests[3].contains("watch=true"))
        observed.stop()
    }

    @Test func `a compressed list is unpacked`() async throws {
        let name = "list/endpointslices-bulk-gzip.json.gz"
        let server = ScriptedServer([
            .body(try Recordings.bytes(name), type: "application/json", encoding: "gzip")
        ])
        server.start()
        defer { server.stop() }
        let page: ListPage<EndpointSlice> = try await client("http://127.0.0.1:\(server.port)")
            .page(EndpointSlice.self, [:])
        #expect(page.objects.map(\.endpoints.count) == [1000])
    }

    @Test(arguments: Recordings.all.fixtures.keys.filter { $0.hasPrefix("errors/") }.sorted())
    func `a refusal is told with its code, its words and its pause`(name: String) async throws {
        let facts = Recordings.all.fixtures[name] ?? .null
        let type = facts["contentType"].string ?? ""
        let code = Int(name.dropFirst("errors/".count).prefix(3)) ?? 0
        let refusal = ScriptedServer.Answer.refusal(
            code,
            try Recordings.bytes(name),
            type: type,
            retryAfter: facts["retryAfterHeader"].string.flatMap { Int($0) } ?? 0
        )
        let server = ScriptedServer { _ in refusal }
        server.start()
        defer { server.stop() }
        let error = await #expect(throws: ClientError.self) {
            try await client("http://127.0.0.1:\(server.port)", .json).page(Service.self, [:])
        }
        let expected = Recordings.all.facts(name)
        #expect(error?.status?.code == code)
        let words =
            expected["message"].string ?? expected["text"].string
            ?? expected["textStartsWith"].string ?? ""
        // The words of some messages contain the time.
        let length = facts["differs"] == .null ? 100 : 30
        #expect(error?.status?.message.hasPrefix(words.prefix(length)) == true, "\(name)")
        if facts["retryAfterHeader"] != .null {
            #expect(error?.status?.retryAfter ?? .zero >= .seconds(1))
        }
    }

    @Test func `who hangs up on plain HTTP may expect TLS`() async throws {
        let server = ScriptedServer([.drop])
        server.start()
        defer { server.stop() }
        let error = await #expect(throws: ClientError.self) {
            try await client("http://127.0.0.1:\(server.port)").page(Service.self, [:])
        }
        #expect(error?.description.hasSuffix("its URL has to begin with https://") == true)
    }

    @Test func `an answer in HTML names what it is`() async throws {
        let server = ScriptedServer([.body(Array("<html>".utf8), type: "text/html")])
        server.start()
        defer { server.stop() }
        let error = await #expect(throws: ClientError.self) {
            try await client("http://127.0.0.1:\(server.port)").page(Service.self, [:])
        }
        #expect(error?.description.contains("text/html") == true)
    }

    @Test func `an old server's refusal of the field selector is respected`() async throws {
        let server = ScriptedServer([
            .status(400, "field label not supported: spec.clusterIP"),
            .status(400, "field label not supported: spec.clusterIP"),
            .status(422, "no streaming lists"),
            .json(#"{"kind": "ServiceList", "metadata": {"resourceVersion": "1"}, "items": []}"#),
        ])
        server.start()
        defer { server.stop() }
        var services = Observed<Service>(client("http://127.0.0.1:\(server.port)"))
        await services.next()
        // The second request asks whether another form of objects is what the server wants.
        #expect(server.requests[1].contains("fieldSelector"))
        #expect(!server.requests[2].contains("fieldSelector"))
        services.stop()
    }

    @Test func `a rotated token is used by the next request`() async throws {
        var configuration = APIServer.Configuration()
        configuration.token = "second"
        let (server, url) = try start(configuration)
        defer { server.stop() }
        let file = FileManager.default.temporaryDirectory.path() + "needletail-test-\(UUID())"
        defer { try? FileManager.default.removeItem(atPath: file) }
        try "first\n".write(toFile: file, atomically: true, encoding: .utf8)
        var credentials = Credentials(server: url)
        credentials.token = .file(file)
        let client = APIClient(credentials)
        let error = await #expect(throws: ClientError.self) {
            try await client.page(Service.self, [:])
        }
        #expect(error?.status?.code == 401)
        #expect(error?.description.contains("first") == false)
        try "second\n".write(toFile: file, atomically: true, encoding: .utf8)
        _ = try await client.page(Service.self, [:])
    }
}
