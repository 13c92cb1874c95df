@testable import KubernetesClient
import KubernetesModel
import KubernetesWire
import TestSupport
import Testing

/// Events of watches and pages of lists, built byte by byte in both encodings.
@Suite struct WatchDecoderTests {
    private enum Told: Equatable {
        case set(String, version: String)
        case removed(String, version: String)
        case bookmark(isEnd: Bool, version: String)
        case error(Int)
        case unreadable(String)
    }

    private func told(_ event: WatchEvent<Service>) -> Told {
        switch event.payload {
        case .set(let service): .set(service.name.description, version: event.resourceVersion)
        case .removed(let name): .removed(name.description, version: event.resourceVersion)
        case .bookmark(let isEnd): .bookmark(isEnd: isEnd, version: event.resourceVersion)
        case .error(let status): .error(status.code)
        case .unreadable(let object): .unreadable(object.place)
        }
    }

    private func events(
        _ encoding: WireEncoding,
        _ bytes: [UInt8],
        _ random: inout Seeded
    ) throws -> [Told] {
        var decoder = WatchDecoder<Service>(encoding)
        var found: [Told] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Int.random(in: 1...40, using: &random))
            rest = rest.dropFirst(piece.count)
            decoder.append(Array(piece))
            while let event = try decoder.next() { found.append(told(event)) }
        }
        if let last = try decoder.finish() { found.append(told(last)) }
        return found
    }

    private func json(_ type: String, _ name: String, _ version: String) -> String {
        let metadata = #"{"name": "\#(name)", "namespace": "n", "resourceVersion": "\#(version)"}"#
        return #"{"type": "\#(type)", "object": {"kind": "Service", "metadata": \#(metadata)}}"#
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `both encodings tell the same of any events`(seed: UInt64) throws {
        var random = Seeded(seed)
        var (lines, frames): (String, [UInt8]) = ("", [])
        var expected: [Told] = []
        for version in 1...Int.random(in: 1...15, using: &random) {
            let name = "s\(Int.random(in: 0..<5, using: &random))"
            let type =
                ["ADDED", "MODIFIED", "DELETED"].randomElement(using: &random) ?? "ADDED"
            lines += json(type, name, "\(version)") + "\n"
            frames += WireBytes.event(type, WireBytes.service(name, version: "\(version)"))
            expected.append(
                type == "DELETED"
                    ? .removed("n/\(name)", version: "\(version)")
                    : .set("n/\(name)", version: "\(version)")
            )
        }
        #expect(try events(.json, Array(lines.utf8), &random) == expected)
        // The last line of JSON may lack its end.
        #expect(try events(.json, Array(lines.utf8.dropLast()), &random) == expected)
        #expect(try events(.protobuf, frames, &random) == expected)
    }

    // KEP-3157: a bookmark with this annotation ends the initial events.
    @Test func `bookmarks have a version, and one of them ends the initial events`() throws {
        var random = Seeded(1)
        let metadata = { (annotations: String) in
            #"{"type": "BOOKMARK", "object": {"kind": "Service", "metadata": {"resourceVersion": "9"\#(annotations)}}}"#
        }
        let text =
            metadata("") + "\n"
            + metadata(#", "annotations": {"k8s.io/initial-events-end": "true"}"#) + "\n"
            + metadata(#", "annotations": {"k8s.io/initial-events-end": "false"}"#)
        let expected = [false, true, false].map { Told.bookmark(isEnd: $0, version: "9") }
        #expect(try events(.json, Array(text.utf8), &random) == expected)
        #expect(
            try events(.protobuf, WireBytes.endOfInitialEvents(version: "9"), &random)
                == [.bookmark(isEnd: true, version: "9")]
        )
    }

    @Test func `an error of the server is an event, and its pause is bounded`() throws {
        let text =
            #"{"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old", "#
            + #""details": {"retryAfterSeconds": 100000}}}"#
        var decoder = WatchDecoder<Service>(.json)
        decoder.append(Array("\(text)\n".utf8))
        guard case .error(let status) = try decoder.next()?.payload else {
            Issue.record("no error")
            return
        }
        #expect(status.code == 410 && status.message == "too old")
        #expect(status.retryAfter == .seconds(120))
    }

    @Test func `a damaged object is told with its name, and what follows is read`() throws {
        var random = Seeded(2)
        let damaged = WireBytes.service(Array("bad".utf8), tail: WireBytes.damage)
        let frames =
            WireBytes.event("ADDED", WireBytes.service("a")) + WireBytes.event("ADDED", damaged)
            + WireBytes.event("DELETED", damaged) + WireBytes.event("ADDED", WireBytes.service("b"))
        #expect(
            try events(.protobuf, frames, &random) == [
                .set("n/a", version: "7"), .unreadable("n/bad"), .removed("n/bad", version: "7"),
                .set("n/b", version: "7"),
            ]
        )
    }

    @Test(
        arguments: [
            #"{"type": "ADDED"}"#, #"{"object": {}}"#, #"{"type": "PATCHED", "object": {}}"#,
            "[]", #"{"type": "ADDED", "object": {"metadata": }"#, #"{"type": 1, "object": {}}"#,
            // A deleted object without a name may be any.
            #"{"type": "DELETED", "object": {"metadata": {}}}"#,
        ]
    )
    func `a line that is no event ends the watch`(line: String) {
        var random = Seeded(3)
        #expect(throws: WireError.self) {
            _ = try events(.json, Array("\(line)\n".utf8), &random)
        }
    }

    @Test func `a watch that ends in the middle of an event is broken`() {
        var random = Seeded(4)
        let frame = WireBytes.event("ADDED", WireBytes.service("a"))
        #expect(throws: WireError.self) {
            _ = try events(.protobuf, frame + frame.dropLast(), &random)
        }
        let line = json("ADDED", "a", "7")
        #expect(throws: WireError.self) {
            _ = try events(.json, Array(line.utf8.dropLast()), &random)
        }
    }

    @Test func `an object of another kind is none of the watch's`() {
        var decoder = WatchDecoder<EndpointSlice>(.protobuf)
        decoder.append(WireBytes.event("ADDED", WireBytes.service("a")))
        #expect(throws: WireError.self) { _ = try decoder.next() }
    }

    @Test func `a list of another kind is none, in either encoding`() {
        for (encoding, bytes) in [
            (WireEncoding.json, Array(#"{"kind": "ServiceList", "items": []}"#.utf8)),
            (.protobuf, WireBytes.list([])),
        ] {
            var decoder = ListDecoder<EndpointSlice>(encoding)
            #expect(throws: WireError.self) { try decoder.append(bytes) }
        }
    }

    @Test func `a damaged item of a list is set aside, and the others are read`() throws {
        var decoder = ListDecoder<Service>(.protobuf)
        try decoder.append(
            WireBytes.list([
                WireBytes.service("a"),
                WireBytes.service(Array("bad".utf8), tail: WireBytes.damage),
                WireBytes.service("b"),
            ])
        )
        let page = try decoder.finish()
        #expect(page.objects.map(\.name.name) == ["a", "b"])
        #expect(page.unreadable.map(\.place) == ["n/bad"])
        #expect(page.resourceVersion == "10" && page.continueToken.isEmpty)
    }

    // k8s.io/apimachinery/pkg/runtime/serializer: the media types.
    @Test func `an answer's encoding is its media type, whatever its parameters`() {
        #expect(WireEncoding(contentType: "application/json; charset=utf-8") == .json)
        #expect(
            WireEncoding(contentType: "Application/vnd.kubernetes.protobuf;stream=watch")
                == .protobuf
        )
        for type in ["text/html", "", "application/yaml", "application/jsonx"] {
            #expect(WireEncoding(contentType: type) == nil)
        }
        var form = ObjectForm(encoding: .json)
        #expect(form.accept == "application/json;drop=metadata.managedFields,application/json")
        form.dropsManagedFields = false
        #expect(form.accept == "application/json")
        form.encoding = .protobuf
        #expect(form.accept == "application/vnd.kubernetes.protobuf,application/json")
        form.dropsManagedFields = true
        #expect(
            form.accept == """
                application/vnd.kubernetes.protobuf;drop=metadata.managedFields,\
                application/vnd.kubernetes.protobuf,\
                application/json;drop=metadata.managedFields,application/json
                """
        )
    }
}
