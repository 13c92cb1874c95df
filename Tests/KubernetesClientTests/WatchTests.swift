import FoundationEssentials
import KubernetesModel
@testable import KubernetesClient
import TestSupport
import Testing

@Suite struct WatchTests {
    private func events(_ name: String) throws -> [WatchEvent<Service>] {
        var splitter = LineSplitter()
        let complete = splitter.append(
            Array(try Fixture.data("Fixtures/apiserver/watch/\(name).json"))
        )
        let lines = try #require(complete)
        return try lines.map { try JSONDecoder().decode(WatchEvent<Service>.self, from: Data($0)) }
    }

    @Test func `a recorded watch decodes to its events`() throws {
        let kinds = try events("services-live").map { event in
            switch event.payload {
            case .set: "set"
            case .removed: "removed"
            case .bookmark: "bookmark"
            case .error: "error"
            case .unreadable: "unreadable"
            }
        }
        #expect(kinds == ["set", "set", "set", "set", "removed", "bookmark"])
        #expect(try events("services-live").first?.resourceVersion == "359")
    }

    @Test func `an expired version comes as an error event`() throws {
        guard case .error(let code, let message) = try events("services-too-old").first?.payload
        else {
            Issue.record("no error event")
            return
        }
        #expect(code == 410 && message.contains("too old"))
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `lines are the same however the stream is cut`(seed: UInt64) throws {
        let bytes = Array(try Fixture.data("Fixtures/apiserver/watch/endpointslices-live.json"))
        var random = Seeded(seed)
        var splitter = LineSplitter()
        var lines: [[UInt8]] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = Int.random(in: 1...700, using: &random)
            let complete = splitter.append(Array(rest.prefix(count)))
            lines += try #require(complete)
            rest = rest.dropFirst(count)
        }
        #expect(lines == bytes.split(separator: UInt8(ascii: "\n")).map(Array.init))
    }

    @Test func `an endless line is refused`() {
        var splitter = LineSplitter()
        let chunk = [UInt8](repeating: 0x61, count: 1 << 20)
        var isRefused = false
        for _ in 0..<20 where !isRefused { isRefused = splitter.append(chunk) == nil }
        #expect(isRefused)
    }

    @Test func `an object that cannot be read is skipped with its name and field`() throws {
        let line =
            #"{"type": "ADDED", "object": {"metadata": {"name": "a", "namespace": "n", "resourceVersion": "7"}, "spec": {"ports": [{"port": "x"}]}}}"#
        let event = try JSONDecoder().decode(WatchEvent<Service>.self, from: Data(line.utf8))
        guard case .unreadable(let error) = event.payload else {
            Issue.record("it was read")
            return
        }
        #expect(error.description == "n/a: object.spec.ports[0].port: is not a whole number")
        #expect(event.resourceVersion == "7")
    }
}

@Suite struct WatchPolicyTests {
    private let gone = ClientError.status(url: "", code: 410, message: "")
    private let refused = ClientError.transport(url: "", reason: "")

    @Test func `a watch resumes where the last event or bookmark was`() {
        var policy = WatchPolicy()
        #expect(policy.next == .list)
        policy.onList(version: "5")
        policy.onEvent(version: "8")
        policy.onEvent(version: nil)
        #expect(policy.next == .watch(from: "8"))
        _ = policy.onFailure(refused, jitter: 0)
        #expect(policy.next == .watch(from: "8"))
    }

    @Test func `an expired version leads to a new list at once, and then not too often`() {
        var policy = WatchPolicy()
        policy.onList(version: "5")
        #expect(policy.onFailure(gone, jitter: 0) == .zero)
        #expect(policy.next == .list)
        #expect(policy.onFailure(gone, jitter: 0) > .zero)
    }

    @Test func `failures back off up to a minute with jitter, and an event resets that`() {
        var policy = WatchPolicy()
        let delays = (0..<12).map { _ in policy.onFailure(refused, jitter: 0) }
        #expect(delays.first == .milliseconds(800) && delays.last == .seconds(30))
        #expect(policy.onFailure(refused, jitter: 1) == .seconds(60))
        policy.onEvent(version: "1")
        #expect(policy.onFailure(refused, jitter: 0) == .milliseconds(800))
        let busy = ClientError.status(url: "", code: 429, message: "", retryAfter: .seconds(90))
        #expect(policy.onFailure(busy, jitter: 0) == .seconds(90))
    }

    @Test func `a watch that ends at once backs off, one that brought something does not`() {
        var policy = WatchPolicy()
        let end = { (seconds: Int, hadEvents: Bool) in
            policy.onEnd(after: .seconds(seconds), hadEvents: hadEvents, jitter: 0)
        }
        #expect(end(0, false) == .milliseconds(800))
        #expect(end(0, false) == .milliseconds(1600))
        #expect(end(0, true) == .zero)
        #expect(end(300, false) == .zero)
    }
}
