import EmbeddedAPIServer
@testable import KubernetesClient
import TestSupport
import Testing

@Suite struct EventAggregatorTests {
    private func notice(_ reason: String = "Refused", _ name: String = "web", note: String = "")
        -> EventNotice
    {
        EventNotice(
            .warning,
            reason: reason,
            action: "Program",
            regarding: ObjectReference(kind: "Service", namespace: "shop", name: name),
            note: note
        )
    }

    private var aggregator: EventAggregator { EventAggregator(EventReporter(instance: "here")) }

    @Test func `the second of the same makes a series, which is told again now and then`() {
        var events = aggregator
        guard case .create(let first) = events.add(notice(note: "1"), now: 1000) else {
            Issue.record("the first notice made no event")
            return
        }
        #expect(first.note == "1" && first.series == nil)
        #expect(first.metadata.namespace == "shop")
        #expect(first.eventTime == "1970-01-01T00:16:40.000000Z")
        guard case .update(let second) = events.add(notice(note: "2"), now: 1001.5) else {
            Issue.record("the second notice made no series")
            return
        }
        #expect(second.metadata == first.metadata && second.note == "1")
        #expect(second.series == .init(count: 2, lastObservedTime: "1970-01-01T00:16:41.500000Z"))
        // The notice comes every minute, and is sent again after half an hour.
        var writes: [EventAggregator.Write] = []
        for minute in 1...50 {
            let now = 1000 + Double(minute) * 60
            #expect(events.add(notice(), now: now) == nil)
            writes += events.tick(now: now)
        }
        #expect(writes.map(\.object.series?.count) == [33])
        // The series ends.
        #expect(events.tick(now: 4300) == [])
        let last = events.tick(now: 4360)
        #expect(last.map(\.object.series?.count) == [52])
        guard case .create = events.add(notice(), now: 4361) else {
            Issue.record("after the end of a series a new one begins")
            return
        }
    }

    @Test func `notices about one object, and all together, are limited`() {
        var events = aggregator
        let first = (0..<100).compactMap { events.add(notice("Reason\($0)"), now: 0) }
        #expect(first.count == 25)
        #expect(events.suppressed == 75)
        let others = (0..<100).compactMap { events.add(notice("Refused", "web\($0)"), now: 0) }
        #expect(others.count == 25)
        // Tokens come back.
        #expect(events.add(notice("Late", "web99"), now: 2) != nil)
        #expect(events.add(notice("Late"), now: 299) == nil)
        #expect(events.add(notice("Late"), now: 301) != nil)
    }

    @Test(arguments: [-1e9, -7200, 7200, 1e9])
    func `a clock that is set neither stops events nor ends a series`(jump: Double) {
        var events = aggregator
        for number in 0..<25 {
            #expect(events.add(notice("Reason\(number)"), now: 0, time: 2e9) != nil)
        }
        #expect(events.add(notice("Late"), now: 299, time: 2e9 + 299 + jump) == nil)
        #expect(events.add(notice("Late"), now: 301, time: 2e9 + 301 + jump) != nil)
        #expect(events.add(notice("Reason1"), now: 310, time: 2e9 + 310 + jump) != nil)
        #expect(events.tick(now: 320) == [])
        #expect(events.add(notice("Reason1"), now: 330, time: 2e9 + 330) == nil)
        let ended = events.tick(now: 700)
        #expect(ended.map(\.object.series?.count) == [3])
        #expect(ended.first?.object.series?.lastObservedTime == "2033-05-18T03:38:50.000000Z")
    }

    @Test func `ten thousand different notices take bounded memory`() {
        var events = aggregator
        for number in 0..<10_000 {
            _ = events.add(notice("Refused", "web\(number)"), now: Double(number) * 0.001)
        }
        _ = events.tick(now: 10_000)
        #expect(events.add(notice("Refused", "web1"), now: 10_000) != nil)
    }

    @Test func `a note is one line`() {
        let object = EventObject(
            notice(note: "a\r\nb\u{1B}[2J"),
            reporter: EventReporter(instance: "here"),
            time: 0
        )
        #expect(object.note == "a\\r\\nb\\u{1B}[2J")
    }

    @Test func `a long note is cut at the API's limit`() {
        let object = EventObject(
            notice(note: String(repeating: "ä", count: 2000)),
            reporter: EventReporter(instance: "here"),
            time: 0
        )
        #expect(object.note.utf8.count <= 1024 && object.note.hasSuffix("ä…"))
    }
}

extension EventAggregator {
    /// Adds a notice while both clocks show the same time.
    fileprivate mutating func add(_ notice: EventNotice, now: Double) -> Write? {
        add(notice, now: now, time: now)
    }
}

@Suite(.timeLimit(.minutes(30))) struct EventRecorderTests {
    private let server = APIServer()
    private let recorder: EventRecorder
    private let client: APIClient
    private let sending: Task<Void, Never>
    private let notice = EventNotice(
        .normal,
        reason: "Starting",
        action: "StartKubeProxy",
        regarding: .node("here"),
        note: "hello"
    )

    init() throws {
        let listener = try server.listen()
        listener.start()
        client = APIClient(Credentials(server: listener.url))
        let recorder = EventRecorder(
            client,
            EventReporter(instance: "here"),
            firstPause: .milliseconds(5),
            logger: .silent
        )
        self.recorder = recorder
        sending = Task { await recorder.run() }
    }

    private func finish() {
        sending.cancel()
        server.stop()
    }

    /// Waits until the server has one event that satisfies the condition.
    private func event(where condition: (JSONValue) -> Bool) async -> JSONValue {
        for await _ in server.changes {
            if let event = server.objects("Event").first(where: condition) { return event }
        }
        return .null
    }

    @Test(arguments: ServerKind.available)
    func `an event, and then its series, as the API server takes them`(
        kind: ServerKind
    ) async throws {
        defer { finish() }
        let cluster = try await TestCluster(kind)
        defer { cluster.stop() }
        let recorder = EventRecorder(
            cluster.client,
            EventReporter(instance: "here"),
            logger: .silent
        )
        let sending = Task { await recorder.run() }
        defer { sending.cancel() }
        let path = "/apis/events.k8s.io/v1/namespaces/default/events"
        recorder.record(notice)
        recorder.record(notice)
        var list: JSONValue = .null
        while list["items"].array?.first?["series"]["count"] != 2 {
            list = try await cluster.get(path)
        }
        let event = try #require(list["items"].array?.first)
        #expect(event["regarding"]["name"] == "here" && event["regarding"]["uid"] == "here")
        #expect(event["reason"] == "Starting" && event["action"] == "StartKubeProxy")
        #expect(event["reportingController"] == "kube-proxy" && event["note"] == "hello")
    }

    @Test func `an API server that is away or busy is asked again`() async throws {
        defer { finish() }
        server.inject(Fault(.drop, path: "/apis/events.k8s.io"))
        server.inject(Fault(.refuse, path: "/apis/events.k8s.io", count: 2, code: 429))
        recorder.record(notice)
        let event = await event { $0["reason"] == "Starting" }
        #expect(event["metadata"]["namespace"] == "default")
    }

    @Test func `a series whose event has expired makes a new one`() async throws {
        defer { finish() }
        recorder.record(notice)
        let first = await event { $0["reason"] == "Starting" }
        server.delete("Event", "default", first["metadata"]["name"].string ?? "")
        recorder.record(notice)
        let second = await event { $0["series"]["count"] == 2 }
        #expect(second["note"] == "hello")
    }

    @Test func `what is refused for good does not hold up what follows`() async throws {
        defer { finish() }
        server.inject(Fault(.refuse, path: "/apis/events.k8s.io", code: 403))
        recorder.record(notice)
        var other = notice
        other.reason = "Other"
        recorder.record(other)
        _ = await event { $0["reason"] == "Other" }
        #expect(server.requests.count { $0.hasPrefix("POST") } == 2)
    }
}
