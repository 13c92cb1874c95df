import TestSupport

/// An API server's protobuf, built byte by byte so that it can be wrong.
enum WireBytes {
    /// Encodes a field that holds text or a message.
    static func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] {
        var head = [number << 3 | 2]
        var length = bytes.count
        while length >= 0x80 {
            head.append(UInt8(length & 0x7F) | 0x80)
            length >>= 7
        }
        return head + [UInt8(length)] + bytes
    }

    static func field(_ number: UInt8, _ text: String) -> [UInt8] {
        field(number, Array(text.utf8))
    }

    static let notUTF8: [UInt8] = [0x61, 0xFF, 0xC0, 0x80]

    /// Encodes a Service of namespace `n`.
    ///
    /// - Parameter tail: bytes to append to its fields
    static func service(
        _ name: [UInt8],
        version: String = "7",
        annotation: [UInt8] = [],
        tail: [UInt8] = []
    ) -> [UInt8] {
        let annotations = field(12, field(1, annotation) + field(2, annotation))
        let metadata = field(1, name) + field(3, "n") + field(6, version) + annotations
        let port = field(1, "http") + [0x18, 80]
        return field(1, metadata) + field(2, field(1, port) + field(3, "10.96.0.1")) + tail
    }

    static func service(_ name: String, version: String = "7") -> [UInt8] {
        service(Array(name.utf8), version: version)
    }

    /// Bytes that no reader of protobuf accepts: a field that is longer than the object.
    static let damage: [UInt8] = [0x1A, 0x7F]

    private static func envelope(_ kind: String, _ raw: [UInt8]) -> [UInt8] {
        [0x6B, 0x38, 0x73, 0x00] + field(1, field(1, "v1") + field(2, kind)) + field(2, raw)
    }

    static func list(_ services: [[UInt8]], version: String = "10") -> [UInt8] {
        envelope("ServiceList", field(1, field(2, version)) + services.flatMap { field(2, $0) })
    }

    /// Encodes an event of a watch.
    static func event(_ type: String, _ service: [UInt8]) -> [UInt8] {
        let frame = field(1, type) + field(2, field(1, envelope("Service", service)))
        return withUnsafeBytes(of: UInt32(frame.count).bigEndian, Array.init) + frame
    }

    static func endOfInitialEvents(version: String) -> [UInt8] {
        let annotation = field(1, "k8s.io/initial-events-end") + field(2, "true")
        return event("BOOKMARK", field(1, field(6, version) + field(12, annotation)))
    }
}

extension ScriptedServer.Answer {
    static func protobuf(_ bytes: [UInt8]) -> Self {
        .body(bytes, type: "application/vnd.kubernetes.protobuf")
    }

    static func protobufWatch(_ events: [[UInt8]]) -> Self {
        .body(
            events.flatMap(\.self),
            type: "application/vnd.kubernetes.protobuf;stream=watch"
        )
    }
}
