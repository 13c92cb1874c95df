internal import NetworkTypes

/// A key by name, so that the decoders below read like the API's paths.
package struct Field: CodingKey, ExpressibleByStringLiteral {
    package let stringValue: String
    package var intValue: Int? { nil }

    package init(stringLiteral value: String) { stringValue = value }
    package init(stringValue: String) { self.stringValue = stringValue }
    package init?(intValue: Int) { nil }
}

extension KeyedDecodingContainer where Key == Field {
    func value<T: Decodable>(_ field: Field) throws -> T? {
        try decodeIfPresent(T.self, forKey: field)
    }

    func nested(_ field: Field) throws -> KeyedDecodingContainer<Field>? {
        guard contains(field), try !decodeNil(forKey: field) else { return nil }
        return try nestedContainer(keyedBy: Field.self, forKey: field)
    }

    /// Calls the body for each object of a list; an absent list is empty.
    func forEachObject(
        in field: Field,
        _ body: (Int, KeyedDecodingContainer<Field>) throws -> Void
    ) throws {
        guard contains(field), try !decodeNil(forKey: field) else { return }
        var list = try nestedUnkeyedContainer(forKey: field)
        while !list.isAtEnd {
            let index = list.currentIndex
            try body(index, list.nestedContainer(keyedBy: Field.self))
        }
    }

    /// The label or annotation, if the object has it.
    func label(_ name: Field) throws -> String? {
        try nested("labels")?.value(name)
    }
}

/// Collects the unusable values of one object while its fields are read.
struct FieldReader {
    private(set) var problems: [FieldProblem] = []

    mutating func report(_ field: String, _ reason: String) {
        problems.append(FieldProblem(field, reason))
    }

    mutating func address(_ text: String, _ field: @autoclosure () -> String) -> IPAddress? {
        if let address = IPAddress(text) { return address }
        report(field(), "\"\(text)\" is not an IP address")
        return nil
    }

    mutating func prefix(_ text: String, _ field: @autoclosure () -> String) -> IPPrefix? {
        if let prefix = IPPrefix(text) { return prefix }
        report(field(), "\"\(text)\" is not a CIDR block")
        return nil
    }

    mutating func port(_ number: Int, _ field: @autoclosure () -> String) -> UInt16? {
        if let port = UInt16(exactly: number), port > 0 { return port }
        report(field(), "\(number) is not a port number (1-65535)")
        return nil
    }

    mutating func transport(
        _ name: String?,
        _ field: @autoclosure () -> String
    ) -> TransportProtocol? {
        guard let name, !name.isEmpty else { return .tcp }
        if let transport = TransportProtocol(kubernetesName: name) { return transport }
        report(field(), "\"\(name)\" is not TCP, UDP or SCTP")
        return nil
    }

    /// A word of an enumeration whose unknown values fall back to the default.
    mutating func word<T: RawRepresentable<String>>(
        _ text: String?,
        _ field: @autoclosure () -> String,
        default fallback: T
    ) -> T {
        guard let text, !text.isEmpty else { return fallback }
        if let value = T(rawValue: text) { return value }
        report(field(), "\"\(text)\" is unknown; treated as \(fallback.rawValue)")
        return fallback
    }
}

/// Reads RFC 3339 in UTC with whole seconds, the only form of a creationTimestamp.
func secondsSince1970(_ text: String) -> Int64? {
    let parts = text.split { !$0.isNumber }.compactMap { Int64($0) }
    guard parts.count >= 6, text.last == "Z" else { return nil }
    // Days since 1970 with the year starting in March, so that the leap day comes last.
    let (year, month) = parts[1] <= 2 ? (parts[0] - 1, parts[1] + 9) : (parts[0], parts[1] - 3)
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + parts[2] - 719_469
    return ((days * 24 + parts[3]) * 60 + parts[4]) * 60 + parts[5]
}
