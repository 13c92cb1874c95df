internal import CYAML

/// The events of libyaml's parser for a text, one after the other.
///
/// libyaml stores a pointer to its own parser, so the parser must not move in memory.
struct YAMLEvents: ~Copyable {
    enum Kind {
        case documentStart, sequenceStart, sequenceEnd, mappingStart, mappingEnd
        case scalar(YAMLScalar)
        case alias(String)
        /// An event that carries no content.
        case other
        case end
    }

    struct Event {
        let kind: Kind
        let anchor: String?
        /// The line, counted from 1.
        let line: Int
    }

    private let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)

    /// Makes a parser for the text.
    ///
    /// - Parameter text: must outlive the parser
    init(_ text: UnsafeBufferPointer<UInt8>) {
        yaml_parser_initialize(parser)
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(parser, text.baseAddress, text.count)
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
    }

    mutating func next() throws(YAMLError) -> Event {
        var event = yaml_event_t()
        guard yaml_parser_parse(parser, &event) == 1 else { throw failure }
        defer { yaml_event_delete(&event) }
        return Event(
            kind: Self.kind(event),
            anchor: Self.anchor(event),
            line: Int(event.start_mark.line) + 1
        )
    }

    private static func kind(_ event: yaml_event_t) -> Kind {
        switch event.type {
        case YAML_DOCUMENT_START_EVENT: return .documentStart
        case YAML_SEQUENCE_START_EVENT: return .sequenceStart
        case YAML_SEQUENCE_END_EVENT: return .sequenceEnd
        case YAML_MAPPING_START_EVENT: return .mappingStart
        case YAML_MAPPING_END_EVENT: return .mappingEnd
        case YAML_ALIAS_EVENT: return .alias(string(event.data.alias.anchor) ?? "")
        case YAML_STREAM_END_EVENT: return .end
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            let text = String(
                decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length),
                as: UTF8.self
            )
            let tag = string(scalar.tag)
            let isPlain =
                tag.map { $0 != "tag:yaml.org,2002:str" && $0 != "!" }
                ?? (scalar.style == YAML_PLAIN_SCALAR_STYLE)
            return .scalar(YAMLScalar(text, isPlain: isPlain))
        default: return .other
        }
    }

    private static func anchor(_ event: yaml_event_t) -> String? {
        switch event.type {
        case YAML_SCALAR_EVENT: string(event.data.scalar.anchor)
        case YAML_SEQUENCE_START_EVENT: string(event.data.sequence_start.anchor)
        case YAML_MAPPING_START_EVENT: string(event.data.mapping_start.anchor)
        default: nil
        }
    }

    private static func string(_ bytes: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        bytes.map { String(cString: $0) }
    }

    private var failure: YAMLError {
        let problem = parser.pointee.problem.map { String(cString: $0) }
        if parser.pointee.error == YAML_READER_ERROR {
            let value = String(parser.pointee.problem_value, radix: 16)
            let place = "0x\(value) at byte \(parser.pointee.problem_offset)"
            return YAMLError("\(problem ?? "cannot be read"): \(place)", line: nil)
        }
        return YAMLError(
            problem ?? "cannot be read",
            line: Int(parser.pointee.problem_mark.line) + 1
        )
    }
}
