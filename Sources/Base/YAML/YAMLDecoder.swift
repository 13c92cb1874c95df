/// Decodes values from YAML nodes, for types that can be decoded from JSON as well.
package struct YAMLDecoder {
    package init() {}

    /// Decodes a value.
    ///
    /// - Throws: `DecodingError`, with the path
    package func decode<Value: Decodable>(
        _: Value.Type = Value.self,
        from node: YAMLNode
    ) throws -> Value {
        try Value(from: NodeDecoder(node: node, codingPath: []))
    }
}

/// A decoder for one node, which is also the container for a single value.
private struct NodeDecoder: Decoder, SingleValueDecodingContainer {
    let node: YAMLNode
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard let mapping = node.mapping else { throw mismatch([String: Any].self, "a mapping") }
        return KeyedDecodingContainer(
            MappingContainer(
                entries: Dictionary(mapping.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }),
                codingPath: codingPath
            )
        )
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        guard let list = node.sequence else { throw mismatch([Any].self, "a list") }
        return SequenceContainer(list: list, codingPath: codingPath)
    }

    func singleValueContainer() throws -> any SingleValueDecodingContainer { self }

    func decodeNil() -> Bool { node.isNull }

    func decode(_ type: Bool.Type) throws -> Bool {
        try value(node.scalar?.bool, type, "true or false")
    }
    func decode(_ type: String.Type) throws -> String { try value(node.text, type, "text") }
    func decode(_ type: Double.Type) throws -> Double {
        try value(node.scalar?.number, type, "a number")
    }
    func decode(_ type: Float.Type) throws -> Float { Float(try decode(Double.self)) }
    func decode(_ type: Int.Type) throws -> Int { try integer(type) }
    func decode(_ type: Int8.Type) throws -> Int8 { try integer(type) }
    func decode(_ type: Int16.Type) throws -> Int16 { try integer(type) }
    func decode(_ type: Int32.Type) throws -> Int32 { try integer(type) }
    func decode(_ type: Int64.Type) throws -> Int64 { try integer(type) }
    func decode(_ type: UInt.Type) throws -> UInt { try integer(type) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try integer(type) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try integer(type) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try integer(type) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try integer(type) }

    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        // A String is decoded directly, without asking for a container again.
        if type == String.self, let text = try decode(String.self) as? Value { return text }
        return try Value(from: self)
    }

    private func integer<Value: FixedWidthInteger>(_ type: Value.Type) throws -> Value {
        try value(node.scalar?.integer(), type, "a whole number of this size")
    }

    private func value<Value>(
        _ found: Value?,
        _ type: Value.Type,
        _ expectation: String
    ) throws -> Value {
        guard let found else { throw mismatch(type, expectation) }
        return found
    }

    private func mismatch(_ type: Any.Type, _ expectation: String) -> DecodingError {
        .typeMismatch(
            type,
            DecodingError.Context(
                codingPath: codingPath,
                debugDescription: "expected \(expectation)"
            )
        )
    }
}

private struct MappingContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let entries: [String: YAMLNode]
    let codingPath: [any CodingKey]

    var allKeys: [Key] { entries.keys.compactMap { Key(stringValue: $0) } }

    func contains(_ key: Key) -> Bool { entries[key.stringValue] != nil }

    func decodeNil(forKey key: Key) throws -> Bool { try decoder(key).decodeNil() }

    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        try decoder(key).decode(type)
    }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type,
        forKey key: Key
    ) throws -> KeyedDecodingContainer<Nested> {
        try decoder(key).container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        try decoder(key).unkeyedContainer()
    }

    func superDecoder() throws -> any Decoder {
        NodeDecoder(
            node: YAMLNode(.mapping(entries.map { YAMLEntry($0, $1, line: $1.line) }), line: 0),
            codingPath: codingPath
        )
    }

    func superDecoder(forKey key: Key) throws -> any Decoder { try decoder(key) }

    private func decoder(_ key: Key) throws -> NodeDecoder {
        guard let node = entries[key.stringValue] else {
            throw DecodingError.keyNotFound(
                key,
                DecodingError.Context(codingPath: codingPath, debugDescription: "it is missing")
            )
        }
        return NodeDecoder(node: node, codingPath: codingPath + [key])
    }
}

private struct SequenceContainer: UnkeyedDecodingContainer {
    private struct Index: CodingKey {
        let intValue: Int?
        var stringValue: String { "\(intValue ?? 0)" }
        init(intValue: Int) { self.intValue = intValue }
        init?(stringValue: String) { nil }
    }

    let list: [YAMLNode]
    let codingPath: [any CodingKey]
    private(set) var currentIndex = 0

    init(list: [YAMLNode], codingPath: [any CodingKey]) {
        (self.list, self.codingPath) = (list, codingPath)
    }

    var count: Int? { list.count }
    var isAtEnd: Bool { currentIndex == list.count }

    mutating func decodeNil() throws -> Bool {
        guard !isAtEnd, list[currentIndex].isNull else { return false }
        currentIndex += 1
        return true
    }

    mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        try taking(type) { try $0.decode(type) }
    }

    mutating func nestedContainer<Key: CodingKey>(
        keyedBy type: Key.Type
    ) throws -> KeyedDecodingContainer<Key> {
        try taking(type) { try $0.container(keyedBy: type) }
    }

    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
        try taking([Any].self) { try $0.unkeyedContainer() }
    }

    mutating func superDecoder() throws -> any Decoder { try taking(YAMLNode.self) { $0 } }

    /// Reads the next element; one that cannot be read that way stays the next one.
    private mutating func taking<T>(
        _ type: Any.Type,
        _ body: (NodeDecoder) throws -> T
    ) throws -> T {
        let value = try body(next(type))
        currentIndex += 1
        return value
    }

    private func next(_ type: Any.Type) throws -> NodeDecoder {
        let path = codingPath + [Index(intValue: currentIndex)]
        guard !isAtEnd else {
            throw DecodingError.valueNotFound(
                type,
                DecodingError.Context(codingPath: path, debugDescription: "the list ends")
            )
        }
        return NodeDecoder(node: list[currentIndex], codingPath: path)
    }
}
