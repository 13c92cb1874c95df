import Testing

@testable import EmbeddedAPIServer
@testable import needletail_lab

/// What `needletail-lab bench` does to a daemon, in small; that every burst ends without a difference from a fresh
/// start is checked by the benchmark itself.
@Suite struct BurstBenchTests {
    @Test func `bursts are programmed, and lists without a change send nothing`() throws {
        let shape = ClusterShape(services: 20, endpoints: 5)
        let rows = try BurstBench(shape: shape, restarted: 30, changes: 40).run()
        let changes = Dictionary(uniqueKeysWithValues: rows.map { ($0.burst, $0.changes) })
        #expect(
            changes == [
                "rolling restart": 90, "a zone lost": 20, "the zone back": 20,
                "changes within a second": 40, "relist after 410 Gone": 2, "connections cut": 2,
            ]
        )
        for row in rows {
            let isSilent = row.changes == 2
            #expect((row.commits == 0) == isSilent, "\(row)")
            #expect((row.elements == 0) == isSilent, "\(row)")
            #expect(row.largestCommit <= row.elements && row.time > 0, "\(row)")
        }
    }

    @Test(arguments: [("1000x5", 1000, 5), ("1x5000", 1, 5000), ("50000x1", 50_000, 1)])
    func `a shape is read as it is written`(text: String, services: Int, endpoints: Int) throws {
        let shape = try #require(ClusterShape(argument: text))
        #expect(shape == ClusterShape(services: services, endpoints: endpoints))
        #expect("\(shape)" == text)
    }

    @Test(arguments: ["", "5", "x5", "5x", "0x5", "5x0", "5x5x5", "100000x5", "2x9000000"])
    func `what is no shape, or too large for the addresses, is refused`(text: String) {
        #expect(ClusterShape(argument: text) == nil)
    }

    @Test func `all pods of a cluster have addresses of their own`() throws {
        let (_, slices) = BenchObjects(endpoints: 250).values(20)
        #expect(
            slices.map(\.endpoints.count)
                == Array(repeating: [100, 100, 50], count: 20).flatMap(\.self)
        )
        #expect(Set(slices.flatMap(\.endpoints).map(\.address)).count == 5000)
    }

    @Test func `objects go to the kernel and back`() async throws {
        let row = try await ReconcileCommand.parse(["5x3"]).measure()
        #expect(row.services == 5 && row.endpoints == 3)
        #expect(row.insertCompiling > 0 && row.insert > row.insertCompiling)
        #expect(row.delete > 0 && row.insertAgain > 0)
    }
}

/// What watches see of changes that are made together.
@Suite struct TogetherTests {
    private func names(_ server: APIServer, after version: Int64) throws -> [String]? {
        let kind = try #require(ResourceKind.all.first { $0.kind == "Service" })
        return server.store.changes(kind, after: version)?.list.map(\.object.name)
    }

    private func create(_ name: String, in server: APIServer) throws {
        try server.apply(["kind": "Service", "metadata": ["name": .string(name)]])
    }

    @Test func `changes that are made together are seen at their end`() throws {
        let server = APIServer()
        let begin = server.version
        try create("before", in: server)
        try server.together {
            try create("first", in: server)
            try create("second", in: server)
            #expect(try names(server, after: begin) == ["before"])
        }
        #expect(try names(server, after: begin) == ["before", "first", "second"])
    }

    @Test func `versions that nobody saw can be forgotten`() throws {
        let server = APIServer()
        let begin = server.version
        try server.together {
            try create("unseen", in: server)
            server.compact()
        }
        #expect(try names(server, after: begin) == nil)
        #expect(try names(server, after: server.version) == [])
    }
}
