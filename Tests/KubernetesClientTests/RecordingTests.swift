import EmbeddedAPIServer
import FoundationEssentials
@testable import KubernetesClient
import KubernetesModel
import KubernetesWire
import TestSupport
import Testing

/// Tests with recorded traffic of a real API server, in both encodings.
@Suite struct RecordingTests {
    private static func names(_ folder: String, _ kind: String) -> [String] {
        Recordings.all.fixtures.keys.filter {
            $0.hasPrefix("\(folder)/\(kind)") && !$0.hasSuffix(".gz")
        }.sorted()
    }

    private static func encoding(_ name: String) -> WireEncoding {
        name.hasSuffix(".pb") ? .protobuf : .json
    }

    /// Calls the closure with the bytes in pieces of all sizes, as a network delivers them.
    private static func cut(_ bytes: [UInt8], _ body: ([UInt8]) throws -> Void) rethrows {
        var random = Seeded(UInt64(bytes.count))
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Int.random(in: 1...3000, using: &random))
            try body(Array(piece))
            rest = rest.dropFirst(piece.count)
        }
    }

    // MARK: Lists

    private func checkList<Object: HasFacts>(_: Object.Type, _ name: String) throws {
        var decoder = ListDecoder<Object>(Self.encoding(name))
        try Self.cut(try Recordings.bytes(name)) { try decoder.append($0) }
        let page = try decoder.finish()
        let expected = Recordings.all.facts(name)
        #expect(page.unreadable.isEmpty)
        #expect(page.resourceVersion == expected["resourceVersion"].string)
        #expect(
            page.continueToken.isEmpty == (expected["continue"].string ?? "").isEmpty,
            "\(name)"
        )
        let items = (expected["items"].array ?? []).map(Recordings.all.resolved)
        #expect(items.count == Int(expected["count"].integer ?? -1))
        #expect(page.objects.map(\.facts) == items.map(Object.facts), "\(name)")
    }

    @Test(arguments: ["list", "paged"].flatMap { names($0, "services") })
    func `a list of Services`(name: String) throws { try checkList(Service.self, name) }

    @Test(arguments: ["list", "paged"].flatMap { names($0, "endpointslices") })
    func `a list of EndpointSlices`(name: String) throws {
        try checkList(EndpointSlice.self, name)
    }

    @Test(arguments: ["list", "paged"].flatMap { names($0, "nodes") })
    func `a list of Nodes`(name: String) throws { try checkList(Node.self, name) }

    @Test(arguments: ["list", "paged"].flatMap { names($0, "servicecidrs") })
    func `a list of ServiceCIDRs`(name: String) throws { try checkList(ServiceCIDR.self, name) }

    @Test(arguments: names("get", ""))
    func `one object`(name: String) throws {
        func check<Object: HasFacts>(_: Object.Type) throws {
            let bytes = try Recordings.bytes(name)
            let wire: Object.Wire =
                name.hasSuffix(".pb")
                ? try WireEncoding.protobuf.message(
                    from: WireEncoding.content(ofEnvelope: bytes, kind: Object.kind)
                )
                : try WireEncoding.json.message(from: bytes)
            #expect(try Object(wire).facts == Object.facts(Recordings.all.facts(name)))
        }
        if name.contains("service") {
            try check(Service.self)
        } else {
            try check(EndpointSlice.self)
        }
    }

    // MARK: Watches

    /// Describes an event; bookmarks come whenever the server likes.
    private func text<Object: HasFacts>(_ event: WatchEvent<Object>) -> String {
        switch event.payload {
        case .set(let object): "set \(event.resourceVersion) \(object.facts)"
        case .removed(let name): "removed \(event.resourceVersion) \(name)"
        case .bookmark(let endsInitialEvents):
            endsInitialEvents ? "end of initial events \(event.resourceVersion)" : "bookmark"
        case .error(let status): "error \(status.code) \(status.message)"
        case .unreadable(let object): "unreadable \(object)"
        }
    }

    private func text<Object: HasFacts>(_ event: JSONValue, _: Object.Type) -> String {
        let object = Recordings.all.resolved(event["object"])
        let version = object["resourceVersion"].string ?? ""
        switch event["type"].string {
        case "ADDED", "MODIFIED": return "set \(version) \(Object.facts(object))"
        case "DELETED":
            let name = object["name"].string ?? ""
            let place = object["namespace"].string.map { "\($0)/\(name)" } ?? name
            return "removed \(version) \(place)"
        case "BOOKMARK":
            let isEnd = event["annotations"]["k8s.io/initial-events-end"] == "true"
            return isEnd
                ? "end of initial events \(event["resourceVersion"].string ?? "")" : "bookmark"
        default:
            return "error \(object["code"].integer ?? 0) \(object["message"].string ?? "")"
        }
    }

    private func checkWatch<Object: HasFacts>(_: Object.Type, _ name: String) throws {
        var decoder = WatchDecoder<Object>(Self.encoding(name))
        var events: [String] = []
        try Self.cut(try Recordings.bytes(name)) { bytes in
            decoder.append(bytes)
            while let event = try decoder.next() { events.append(text(event)) }
        }
        #expect(try decoder.finish() == nil)
        var expected = (Recordings.all.facts(name)["events"].array ?? [])
            .map { text($0, Object.self) }
        if name.hasSuffix(".pb") {
            // The recordings were made side by side: bookmarks come at other times, and initial
            // events in another order.
            events = events.filter { $0 != "bookmark" }
            expected = expected.filter { $0 != "bookmark" }
            if name.contains("watchlist") {
                (events, expected) = (events.sorted(), expected.sorted())
            }
        }
        #expect(events == expected, "\(name)")
    }

    @Test(arguments: names("watch", "services") + names("watch", "watch"))
    func `a watch of Services`(name: String) throws { try checkWatch(Service.self, name) }

    @Test(arguments: names("watch", "endpointslices"))
    func `a watch of EndpointSlices`(name: String) throws {
        try checkWatch(EndpointSlice.self, name)
    }

    @Test(arguments: names("watch", "nodes"))
    func `a watch of Nodes`(name: String) throws { try checkWatch(Node.self, name) }

    @Test(arguments: names("watch", "servicecidrs"))
    func `a watch of ServiceCIDRs`(name: String) throws {
        try checkWatch(ServiceCIDR.self, name)
    }

    // MARK: Damage

    @Test(arguments: Recordings.all.negative.keys.filter { !$0.contains("/list-") }.sorted())
    func `a damaged watch gives its good events, then an error`(name: String) throws {
        let expected = Recordings.all.negative[name] ?? .null
        var decoder = WatchDecoder<Service>(Self.encoding(name))
        var (count, version, isRefused) = (0, String?.none, false)
        do {
            try Self.cut(try Recordings.bytes(name)) { bytes in
                decoder.append(bytes)
                while let event = try decoder.next() {
                    (count, version) = (count + 1, event.resourceVersion)
                }
            }
            if let event = try decoder.finish() {
                (count, version) = (count + 1, event.resourceVersion)
            }
        } catch let error as WireError {
            isRefused = true
            #expect(!error.description.isEmpty)
        }
        let acceptable =
            [expected["completeFrames"].integer ?? -1]
            + (expected["alsoAcceptableCompleteFrames"].array ?? []).compactMap(\.integer)
        #expect(acceptable.contains(Int64(count)), "\(name): \(count)")
        if count == Int(acceptable[0]) {
            #expect(version == expected["lastGoodResourceVersion"].string, "\(name)")
        }
        if expected["error"] != "either" { #expect(isRefused == (expected["error"] == true)) }
    }

    @Test(arguments: Recordings.all.negative.keys.filter { $0.contains("/list-") }.sorted())
    func `a damaged list is no list`(name: String) throws {
        var decoder = ListDecoder<Service>(.protobuf)
        #expect(throws: WireError.self) {
            try Self.cut(try Recordings.bytes(name)) { try decoder.append($0) }
            _ = try decoder.finish()
        }
    }

    @Test(arguments: WireEncoding.allCases)
    func `a list that is cut anywhere is no list`(encoding: WireEncoding) throws {
        let type = encoding == .json ? "json" : "pb"
        let bytes = try Recordings.bytes("list/services-limit3-rv0.\(type)")
        // JSON ends with a newline that is not needed.
        for end in stride(from: 0, to: bytes.count - 2, by: 97) {
            var decoder = ListDecoder<Service>(encoding)
            #expect(throws: WireError.self, "\(end)") {
                try decoder.append(Array(bytes[..<end]))
                _ = try decoder.finish()
            }
        }
    }

    @Test(arguments: WireEncoding.allCases)
    func `an event without an end is refused before it fills the memory`(
        encoding: WireEncoding
    ) throws {
        var decoder = WatchDecoder<Service>(encoding)
        #expect(throws: WireError.self) {
            // As a length, this is 1.6 GB.
            for _ in 0..<20 {
                decoder.append([UInt8](repeating: 0x61, count: 1 << 20))
                _ = try decoder.next()
            }
        }
    }

    @Test func `an object that cannot be read is told with its name and field`() throws {
        let line =
            #"{"type": "ADDED", "object": {"metadata": {"name": "a", "namespace": "n", "resourceVersion": "7"}, "spec": {"ports": [{"port": "x"}]}}}"#
        var decoder = WatchDecoder<Service>(.json)
        decoder.append(Array("\(line)\n".utf8))
        let next = try decoder.next()
        let event = try #require(next)
        guard case .unreadable(let object) = event.payload else {
            Issue.record("it was read")
            return
        }
        #expect(object.objectName == ObjectName(namespace: "n", name: "a"))
        #expect(object.description == "n/a: spec.ports[0].port: is not a whole number")
        #expect(event.resourceVersion == "7")
    }
}
