internal import SwiftProtobuf

/// A coding key made from a string literal, so that decoders read like paths of the API.
package struct Field: CodingKey, ExpressibleByStringLiteral {
    package let stringValue: String
    package var intValue: Int? { nil }

    package init(_ name: String) { stringValue = name }
    package init(stringLiteral value: String) { stringValue = value }
    package init(stringValue: String) { self.stringValue = stringValue }
    package init?(intValue: Int) { nil }
}

extension KeyedDecodingContainer where Key == Field {
    /// The value of a field; nil if the field is absent or null.
    package func value<T: Decodable>(_ field: Field) throws -> T? {
        try decodeIfPresent(T.self, forKey: field)
    }
}

/// A message of wire.proto that can be read from JSON as well.
package protocol JSONReadable: Sendable {
    static var fields: [JSONField<Self>] { get }
    init()
}

extension JSONReadable {
    package init(json decoder: any Swift.Decoder) throws {
        self.init()
        let object = try decoder.container(keyedBy: Field.self)
        for field in Self.fields { try field.read(&self, object) }
    }
}

/// The place in a message where a field of a JSON object is stored.
///
/// A field that is absent or null leaves the message as it is.
package struct JSONField<Message>: Sendable {
    fileprivate let read: @Sendable (inout Message, KeyedDecodingContainer<Field>) throws -> Void

    init<T: Decodable & SendableMetatype>(
        _ name: Field,
        _ path: any WritableKeyPath<Message, T> & Sendable
    ) {
        read = { message, object in
            if let value: T = try object.value(name) { message[keyPath: path] = value }
        }
    }

    init(_ name: Field, _ path: any WritableKeyPath<Message, WireText> & Sendable) {
        read = { message, object in
            if let text: String = try object.value(name) { message[keyPath: path] = .init(text) }
        }
    }

    init(_ name: Field, _ path: any WritableKeyPath<Message, [WireText]> & Sendable) {
        read = { message, object in
            let texts: [String]? = try object.value(name)
            if let texts { message[keyPath: path] = texts.map { WireText($0) } }
        }
    }

    init<T: JSONReadable>(
        _ name: Field,
        _ path: any WritableKeyPath<Message, T> & Sendable
    ) {
        read = { message, object in
            let value: FromJSON<T>? = try object.value(name)
            if let value { message[keyPath: path] = value.message }
        }
    }

    init<T: JSONReadable>(
        _ name: Field,
        _ path: any WritableKeyPath<Message, [T]> & Sendable
    ) {
        read = { message, object in
            let values: [FromJSON<T>]? = try object.value(name)
            if let values { message[keyPath: path] = values.map(\.message) }
        }
    }

    private init(
        _ read: @escaping @Sendable (inout Message, KeyedDecodingContainer<Field>) throws -> Void
    ) {
        self.read = read
    }

    /// A map such as the labels or annotations, stored in the order of the names.
    static func map(
        _ name: Field,
        _ path: any WritableKeyPath<Message, [WireKeyValue]> & Sendable
    ) -> Self {
        Self { message, object in
            guard let map: [String: String] = try object.value(name) else { return }
            message[keyPath: path] = map.sorted { $0.key < $1.key }.map { key, value in
                WireKeyValue.with { ($0.key, $0.value) = (WireText(key), WireText(value)) }
            }
        }
    }

    static func time(
        _ name: Field,
        _ path: any WritableKeyPath<Message, WireTime> & Sendable
    ) -> Self {
        Self { message, object in
            guard let text: String = try object.value(name),
                let seconds = secondsSince1970(text)
            else { return }
            message[keyPath: path].seconds = seconds
        }
    }
}

/// Reads a time in RFC 3339, in UTC and with whole seconds, the only form of a creationTimestamp.
func secondsSince1970(_ text: String) -> Int64? {
    millisecondsSince1970(text).map { $0 / 1000 }
}

/// Reads a time in RFC 3339, in UTC, with or without a fraction of a second.
package func millisecondsSince1970(_ text: String) -> Int64? {
    let fields = text.split { !$0.isNumber }
    let parts = fields.prefix(6).compactMap { Int64($0) }
    guard parts.count == 6, text.last == "Z", parts.allSatisfy({ $0 < 10_000 }) else { return nil }
    let digits = (fields.count > 6 ? String(fields[6].prefix(3)) : "") + "000"
    let milliseconds = Int64(digits.prefix(3)) ?? 0
    // Days since 1970, counted in years that start in March, so that the leap day comes last.
    let (year, month) = parts[1] <= 2 ? (parts[0] - 1, parts[1] + 9) : (parts[0], parts[1] - 3)
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + parts[2] - 719_469
    return (((days * 24 + parts[3]) * 60 + parts[4]) * 60 + parts[5]) * 1000 + milliseconds
}
