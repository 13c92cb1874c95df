import EmbeddedAPIServer
import FoundationEssentials
@testable import KubernetesClient
import KubernetesModel
import NetworkNamespaces
import NetworkTypes
import TestSupport
import Testing

/// What is sent over the wire, and over how many connections.
@Suite(.timeLimit(.minutes(30))) struct WireTests {
    typealias Drop = APIServer.Configuration.DropParameter

    private func start(_ drop: Drop = .ignored) throws -> (server: APIServer, url: String) {
        var configuration = APIServer.Configuration()
        configuration.drop = drop
        let server = APIServer(configuration)
        let listener = try server.listen()
        listener.start()
        return (server, listener.url)
    }

    private func managedService(_ name: String) -> JSONValue {
        var service = Sample.service(name)
        service["spec"]["clusterIP"] = "10.96.7.7"
        service["metadata"]["managedFields"] = [
            [
                "manager": "kubectl", "operation": "Apply", "apiVersion": "v1",
                "fieldsType": "FieldsV1",
                "fieldsV1": [
                    "f:spec": ["f:ports": ["k:{\"port\":80}": [".": [:], "f:name": [:]]]]
                ],
            ]
        ]
        return service
    }

    // MARK: managedFields

    @Test(arguments: WireEncoding.allCases)
    func `a server that knows it leaves managedFields out`(encoding: WireEncoding) async throws {
        var received: [Int] = []
        for drop in [Drop.ignored, .known] {
            let (server, url) = try start(drop)
            defer { server.stop() }
            for name in ["a", "b"] { try server.apply(managedService(name)) }
            let client = APIClient(Credentials(server: url), encoding: encoding)
            var services = Observed<Service>(client)
            await services.wait { $0.count == 2 }
            try server.apply(managedService("c"))
            await services.wait { $0.count == 3 }
            #expect(services.view.values.allSatisfy { $0.ports.map(\.port) == [80] })
            services.stop()
            // Each of the bodies has the objects as they are, whatever a watch has sent until now.
            let page = try await client.page(Service.self, [:])
            #expect(page.objects.count == 3 && page.unreadable.isEmpty)
            let form = ObjectForm(encoding: encoding)
            received.append(try await Self.body(url, form.accept).count)
        }
        // Three Services with one entry each: its name, tree and the rest take 100 bytes and more.
        #expect(received[1] + 3 * 100 < received[0], "\(received)")
    }

    /// Returns the body of the list of Services for an Accept header.
    private static func body(_ url: String, _ accept: String) async throws -> [UInt8] {
        let path = "\(url)/api/v1/services"
        return Array(try Command.run(["curl", "-s", "-H", "Accept: \(accept)", path]).utf8)
    }

    @Test(arguments: WireEncoding.allCases)
    func `managedFields are dropped only where that was asked for`(
        encoding: WireEncoding
    ) async throws {
        let (server, url) = try start(.known)
        defer { server.stop() }
        try server.apply(managedService("a"))
        let whole = try await Self.body(url, encoding.rawValue)
        let bare = try await Self.body(url, ObjectForm(encoding: encoding).accept)
        let text = { (bytes: [UInt8]) in String(decoding: bytes, as: UTF8.self) }
        #expect(text(whole).contains("f:ports") && text(whole).contains("kubectl"))
        #expect(!text(bare).contains("f:ports") && !text(bare).contains("kubectl"))
    }

    @Test(arguments: WireEncoding.allCases)
    func `a server that refuses the parameter is asked without it, from then on`(
        encoding: WireEncoding
    ) async throws {
        let (server, url) = try start(.refused)
        defer { server.stop() }
        try server.apply(managedService("a"))
        let client = APIClient(Credentials(server: url), encoding: encoding)
        #expect(try await client.page(Service.self, [:]).objects.count == 1)
        #expect(try await client.page(Service.self, [:]).objects.count == 1)
        let asked = server.requestHeaders.map { $0["accept"]?.contains("drop=") }
        #expect(asked == [true, false, false])
        #expect(server.requestHeaders.last?["accept"]?.hasPrefix(encoding.rawValue) == true)
        // Another server may know it.
        let (other, otherURL) = try start(.known)
        defer { other.stop() }
        client.use(Credentials(server: otherURL))
        _ = try await client.page(Service.self, [:])
        #expect(other.requestHeaders.map { $0["accept"]?.contains("drop=") } == [true])
    }

    @Test func `what is refused is followed by something simpler, until nothing is left`() {
        let first = ObjectForm(encoding: .protobuf)
        let plain = first.afterRefusal(406)
        #expect(plain == ObjectForm(encoding: .protobuf, dropsManagedFields: false))
        #expect(first.afterRefusal(400) == plain && first.afterRefusal(415) == plain)
        let json = plain?.afterRefusal(415)
        #expect(json == ObjectForm(encoding: .json, dropsManagedFields: false))
        #expect(json?.afterRefusal(406) == nil && plain?.afterRefusal(400) == nil)
        for code in [0, 401, 403, 404, 410, 422, 429, 500, 503] {
            #expect(first.afterRefusal(code) == nil)
        }
    }

    @Test func `a refusal for another reason is not remembered`() async throws {
        let server = ScriptedServer([
            .status(400, "invalid"), .status(400, "invalid"),
            .json(#"{"kind": "ServiceList", "metadata": {"resourceVersion": "1"}, "items": []}"#),
        ])
        server.start()
        defer { server.stop() }
        let client = APIClient(Credentials(server: "http://127.0.0.1:\(server.port)"))
        let error = await #expect(throws: ClientError.self) {
            try await client.page(Service.self, [:])
        }
        #expect(error?.status?.code == 400)
        _ = try await client.page(Service.self, [:])
        // The third request has found the answer, so it asked as the first did.
        #expect(server.requests.count == 3)
    }

    // MARK: Compression

    @Test func `nothing is compressed on loopback, as soon as that is known`() async throws {
        let (server, url) = try start()
        defer { server.stop() }
        let named = url.replacing("127.0.0.1", with: "localhost")
        let client = APIClient(Credentials(server: named))
        for _ in 0..<2 { _ = try await client.page(Service.self, [:]) }
        _ = try await APIClient(Credentials(server: url)).page(Service.self, [:])
        let accepted = server.requestHeaders.map { $0["accept-encoding"] ?? "" }
        #expect(accepted[0].contains("gzip"))
        #expect(accepted[1...] == ["identity", "identity"])
    }

    @Test func `the node's own addresses are as near as loopback`() {
        let own = IPAddress("192.0.2.7")
        let links = ServerLinks { $0 == own }
        for near in ["https://192.0.2.7:6443", "http://127.0.0.1", "https://[::1]:6443/base"] {
            #expect(links.staysHere(near), "\(near)")
        }
        for far in ["https://192.0.2.8:6443", "https://[2001:db8::1]:6443", "https://api.test"] {
            #expect(!links.staysHere(far), "\(far)")
        }
        links.reached("https://api.test", at: ConnectionPeer(address: "192.0.2.7", port: 6443))
        #expect(links.staysHere("https://api.test"))
        links.reached("https://api.test", at: ConnectionPeer(address: "192.0.2.9", port: 6443))
        #expect(!links.staysHere("https://api.test"))
    }

    // MARK: Bytes

    @Test func `every byte of headers and bodies is counted, by kind`() async throws {
        let server = ScriptedServer([
            .json(#"{"kind": "ServiceList", "metadata": {"resourceVersion": "1"}, "items": []}"#),
            .json("{}"),
        ])
        server.start()
        defer { server.stop() }
        let client = APIClient(Credentials(server: "http://127.0.0.1:\(server.port)"))
        _ = try await client.page(Service.self, [:])
        try await client.send("POST", "/events", Array(#"{"note": "x"}"#.utf8), kind: "Event")
        let kinds = client.traffic.kinds
        #expect(Set(kinds.keys) == ["Service", "Event"])
        for (index, kind) in ["Service", "Event"].enumerated() {
            #expect(kinds[kind]?.received == server.answered[index], "\(kind)")
            #expect(kinds[kind]?.sent == server.received[index], "\(kind)")
        }
        #expect(client.traffic.total.sent == server.received.reduce(0, +))
    }

    @Test func `a watch is counted while it is open`() async throws {
        let (server, url) = try start()
        defer { server.stop() }
        let client = APIClient(Credentials(server: url))
        var services = Observed<Service>(client)
        await services.next()
        let before = client.traffic.total.received
        try server.apply(Sample.service("a"))
        await services.wait { $0["a"] != nil }
        // Protobuf has at least the names and the port of the Service.
        #expect(client.traffic.kinds["Service"].map { $0.received >= before + 20 } == true)
        services.stop()
    }

    // MARK: Connections

    /// Follows four kinds of objects at once, as the daemon does.
    private func connections(of client: APIClient, _ front: TLSFront) async throws -> Int {
        var services = Observed<Service>(client)
        var slices = Observed<EndpointSlice>(client)
        var nodes = Observed<Node>(client)
        var blocks = Observed<ServiceCIDR>(client)
        for event in [
            await services.next(), await slices.next(), await nodes.next(), await blocks.next(),
        ] { #expect(event.hasPrefix("list"), "\(event)") }
        defer {
            services.stop()
            slices.stop()
            nodes.stop()
            blocks.stop()
        }
        return try front.connections()
    }

    private func front(http2: Bool) throws -> (server: APIServer, front: TLSFront) {
        let namespace = try NetworkNamespace()
        try namespace.ip(["link set lo up"])
        let server = APIServer()
        let listener = try namespace.inside { try server.listen() }
        listener.start()
        return (server, try TLSFront(to: listener.port, in: namespace, http2: http2))
    }

    @Test(arguments: [true, false])
    func `one connection is enough for all watches over HTTP/2`(http2: Bool) async throws {
        let (server, front) = try front(http2: http2)
        defer {
            front.stop()
            server.stop()
        }
        let count = try await connections(of: front.client(), front)
        #expect(count == (http2 ? 1 : 4))
    }

    @Test func `a connection on which an answer stalls is given up`() async throws {
        let (server, front) = try front(http2: true)
        defer {
            front.stop()
            server.stop()
        }
        let client = try front.client(patience: .seconds(1))
        // A second may be short on a busy machine.
        while (try? await client.page(Service.self, [:])) == nil {}
        let before = try front.connections()
        server.inject(Fault(.stall, path: "/api/v1/services"))
        await #expect(throws: ClientError.self) { try await client.page(Service.self, [:]) }
        while (try? await client.page(Service.self, [:])) == nil {}
        #expect(try front.connections() > before)
    }
}
