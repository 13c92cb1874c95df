import BinarySupport
import EmbeddedAPIServer
import FoundationEssentials
import NetworkNamespaces
import Observability
import TestSupport
import Testing

@testable import needletail

/// Tests of `history` and `explain --at`, with a daemon and an API server.
@Suite(.timeLimit(.minutes(30))) struct HistoryTests {
    private let namespace: NetworkNamespace
    private let folder: Folder
    private let server: APIServer
    private let url: String

    init() throws {
        namespace = try NetworkNamespace()
        folder = try Folder()
        try namespace.ip(["link set lo up", "addr add 192.0.2.50/32 dev lo"])
        (server, url) = try APIServer.listening(in: namespace)
        try server.apply(["kind": "Node", "metadata": ["name": "here"]])
    }

    private func service(_ name: String, _ address: String) -> JSONValue {
        [
            "kind": "Service", "metadata": ["name": .string(name), "namespace": "shop"],
            "spec": ["clusterIP": .string(address), "ports": [["name": "http", "port": 80]]],
        ]
    }

    private func slice(_ name: String, _ hosts: [Int]) -> JSONValue {
        [
            "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": [
                "name": .string("\(name)-1"), "namespace": "shop",
                "labels": ["kubernetes.io/service-name": .string(name)],
            ],
            "ports": [["name": "http", "port": 8080]],
            "endpoints": .array(hosts.map { ["addresses": [.string("10.244.1.\($0)")]] }),
        ]
    }

    private func start(_ flags: [String] = []) throws -> Daemon {
        let daemon = try Daemon(
            ["--master", url, "--hostname-override", "here", "-v", "2"] + flags,
            in: namespace,
            log: "\(folder.path)/.log"
        )
        try daemon.wait(for: "synced")
        return daemon
    }

    private func history(_ words: String...) throws -> Binary.Result {
        try Binary.run(["history"] + words, in: namespace)
    }

    private func entries(_ words: String...) throws -> [HistoryDocument.Entry] {
        let result = try Binary.run(["history", "-o", "json"] + words, in: namespace)
        return try result.output.split(separator: "\n").map {
            try JSONDecoder().decode(HistoryDocument.Entry.self, from: Data($0.utf8))
        }
    }

    private func explain(_ words: String...) throws -> Binary.Result {
        try Binary.run(["explain"] + words, in: namespace)
    }

    /// Makes the four things happen of which the journal has to tell.
    private func makeHistory(_ daemon: Daemon) throws -> (created: Int64, gone: Int64) {
        try server.apply(slice("web", [5, 6]))
        // They come by different watches: a Service before its slice would be two changes.
        try daemon.wait {
            try Binary.run(["status"], in: namespace).output.contains("endpoints    2\n")
        }
        let created = try server.apply(service("web", "10.96.0.10"))
        try daemon.wait { try entries("shop/web").count == 2 }
        let gone = try server.apply(slice("web", [5]))
        try daemon.wait { try entries("shop/web").count == 3 }
        try namespace.run(["nft", "flush chain ip needletail services"])
        try daemon.wait { try entries().contains { $0.kind == .repaired } }
        return (created, gone)
    }

    @Test
    func `a Service, an endpoint that goes, a foreign change and its repair are told in order`()
        throws
    {
        defer { server.stop() }
        let daemon = try start()
        let versions = try makeHistory(daemon)
        try server.apply(service("other", "10.96.0.11"))
        try daemon.wait { try entries().count == 6 }
        let all = try entries("shop/web")
        #expect(all.map(\.kind) == [.began, .change, .change, .foreignChange, .repaired])
        #expect(all.map(\.service) == [nil, "shop/web", "shop/web", nil, nil])
        #expect(all.map(\.at) == all.map(\.at).sorted())
        #expect(
            all[1].text
                == "added, frontend +10.96.0.10:80/tcp,"
                + " endpoints +10.244.1.5:8080 +10.244.1.6:8080"
        )
        let first = try #require(all[1].objects?.first { $0.kind == "Service" })
        #expect(first.name == "web")
        #expect(first.resourceVersion == "\(versions.created)")
        #expect(all[2].text == "endpoints -10.244.1.6:8080")
        let second = try #require(all[2].objects?.first)
        #expect(all[2].objects?.count == 1)
        #expect(second.kind == "EndpointSlice" && second.name == "web-1")
        #expect(second.resourceVersion == "\(versions.gone)")
        for change in all[1...2] {
            let times = [change.arrived, change.compiled, change.at].compactMap(\.self)
            #expect(times.count == 3 && times == times.sorted())
            #expect(try #require(change.milliseconds) > 0)
        }
        #expect(all[3].text == "another program changed needletail's tables in nf_tables")
        #expect(all[4].text.contains("sets and rules"))
        let lines = try history("shop/web").output.split(separator: "\n")
        let words = ["started", "changed", "changed", "FOREIGN", "repaired"]
        #expect(lines.map { $0.split(separator: " ")[1] } == words.map { Substring($0) })
        #expect(lines[2].contains(" (EndpointSlice web-1 \(versions.gone); API to kernel "))
        let status = try Binary.run(["status"], in: namespace).output
        #expect(status.contains("history      6 entries since 2"))
        let metrics = try namespace.run(["curl", "-s", "127.0.0.1:10249/metrics"])
        #expect(metrics.contains("needletail_journal_entries 6\n"))
        #expect(daemon.stop() == 0)
    }

    /// Returns the time between two entries.
    private func middle(
        _ first: HistoryDocument.Entry,
        _ second: HistoryDocument.Entry
    ) throws -> String {
        let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        let times = try [first, second].map { try Date($0.at, strategy: style) }
        return times[0].addingTimeInterval(times[1].timeIntervalSince(times[0]) / 2)
            .formatted(style)
    }

    @Test func `explain tells what was programmed at a time, since when, and what came then`()
        throws
    {
        defer { server.stop() }
        let daemon = try start()
        _ = try makeHistory(daemon)
        let all = try entries("shop/web")
        let created = try middle(all[1], all[2])
        let after = try explain("shop/web", "--at", created, "-o", "json")
        let past = try JSONDecoder().decode(PastPlanDocument.self, from: Data(after.output.utf8))
        #expect(after.status == 0 && past.isProgrammed && past.damage == nil)
        #expect(past.frontends.map(\.frontend) == ["10.96.0.10:80/tcp"])
        let endpoints = past.frontends.flatMap(\.endpoints)
        #expect(endpoints.map(\.endpoint) == ["10.244.1.5:8080", "10.244.1.6:8080"])
        #expect(endpoints.allSatisfy { ($0.since ?? "") > all[0].at })
        #expect(past.later.map(\.kind) == [.change, .foreignChange, .repaired])
        let text = try explain("shop/web", "--at", try middle(all[2], all[3]))
        #expect(text.status == 0)
        #expect(text.output.contains("\n    10.244.1.5:8080  since "))
        #expect(!text.output.contains("\n    10.244.1.6:8080"))
        #expect(text.output.contains("What rules of other programs did then is not recorded."))
        let before = try explain("shop/web", "--at", try middle(all[0], all[1]))
        #expect(before.status == 0 && before.output.contains("not programmed"))
        let tooEarly = try explain("shop/web", "--at", "-1h")
        #expect(tooEarly.status == 3)
        #expect(tooEarly.output.contains("cannot tell: the journal reaches back to "))
        #expect(try explain("10.96.0.10:80", "--at", "-1s").status == 64)
        #expect(try explain("shop/web", "--at", "yesterday").status == 64)
        #expect(try explain("shop/web", "--at", "2999-01-01T00:00:00Z").status == 64)
        #expect(daemon.stop() == 0)
    }

    @Test func `what the journal or the program cannot tell is said`() throws {
        defer { server.stop() }
        #expect(try history().output.contains("no daemon answers at 127.0.0.1:10249"))
        let daemon = try start()
        let far = try history("--since", "2h")
        #expect(far.status == 3 && far.output.contains(" started "))
        #expect(far.output.contains("does not reach back as far as --since 2h: it begins with 2"))
        #expect(try history("--since", "0s").output.contains("started") == false)
        #expect(try history("--since", "soon").status == 64)
        #expect(try history("web").status == 64)
        #expect(try history("shop/a&b").status == 64)
        let health = try history("--address", "127.0.0.1:10256")
        #expect(health.status == 1 && health.output.contains("an older needletail than this one"))
        #expect(daemon.stop() == 0)
    }

    @Test func `others than this node are refused, whatever the address`() throws {
        defer { server.stop() }
        let daemon = try start(["--metrics-bind-address", "0.0.0.0:10249"])
        func status(_ words: String...) throws -> String {
            try namespace.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"] + words)
        }
        #expect(try history().status == 0)
        for path in ["/history", "/history/plan?service=shop/web&at=0"] {
            let text = try namespace.run(["curl", "-s", "192.0.2.50:10249\(path)"])
            #expect(text.contains("ask at 127.0.0.1 on the node"))
            #expect(try status("192.0.2.50:10249\(path)") == "403")
            #expect(try status("127.0.0.1:10249\(path)", "-H", "Host: page.example") == "421")
            // The neighbour's way to 127.0.0.1 with route_localnet: one end is no loopback address.
            #expect(try status("--interface", "192.0.2.50", "127.0.0.1:10249\(path)") == "403")
        }
        #expect(try status("192.0.2.50:10249/status") == "200")
        #expect(try status("127.0.0.1:10249/history?since=x") == "400")
        #expect(try status("127.0.0.1:10249/history?after=-1") == "400")
        #expect(try status("127.0.0.1:10249/history/plan?service=web&at=1") == "400")
        let refused = try history("--address", "192.0.2.50:10249")
        #expect(refused.status == 1 && refused.output.contains("told to this node only"))
        #expect(daemon.stop() == 0)
    }
}
