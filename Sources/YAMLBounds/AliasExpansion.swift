internal import CYaml

/// How much a YAML text stands for, with its aliases written out.
///
/// A few lines of nested aliases can stand for more nodes than memory holds, and libraries above
/// libyaml expand them: to decode, and to compare the keys of a map. This counts them by libyaml's
/// events, in one pass that expands nothing.
package enum AliasExpansion {
    /// Whether the text, written out, has no more nodes than it has bytes, or than 100,000.
    ///
    /// Without aliases that is always so. A text that libyaml cannot read counts as bounded, as far
    /// as it can be read: its reader tells what is wrong.
    package static func isBounded(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            var parser = yaml_parser_t()
            guard yaml_parser_initialize(&parser) == 1 else { return true }
            defer { yaml_parser_delete(&parser) }
            yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING)
            yaml_parser_set_input_string(&parser, bytes.baseAddress, bytes.count)
            var counter = Counter(limit: max(bytes.count, 100_000))
            while parser.stream_end_produced == 0 {
                var event = yaml_event_t()
                guard yaml_parser_parse(&parser, &event) == 1 else { return true }
                defer { yaml_event_delete(&event) }
                guard counter.count(event) else { return false }
            }
            return true
        }
    }

    private struct Counter {
        let limit: Int
        /// Sequences and maps that are open, the innermost last; the first stands for the text.
        var open: [(anchor: String?, nodes: Int)] = [(nil, 0)]
        /// Of nodes that have an anchor.
        var sizes: [String: Int] = [:]

        /// - Returns: false if it is too much
        mutating func count(_ event: yaml_event_t) -> Bool {
            switch event.type {
            case YAML_ALIAS_EVENT:
                add(Self.name(event.data.alias.anchor).flatMap { sizes[$0] } ?? 1, anchor: nil)
            case YAML_SCALAR_EVENT: add(1, anchor: Self.name(event.data.scalar.anchor))
            case YAML_SEQUENCE_START_EVENT:
                open.append((Self.name(event.data.sequence_start.anchor), 1))
            case YAML_MAPPING_START_EVENT:
                open.append((Self.name(event.data.mapping_start.anchor), 1))
            case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT:
                let closed = open.removeLast()
                add(closed.nodes, anchor: closed.anchor)
            default: break
            }
            return open[open.count - 1].nodes <= limit
        }

        private mutating func add(_ nodes: Int, anchor: String?) {
            if let anchor { sizes[anchor] = nodes }
            open[open.count - 1].nodes += nodes
        }

        private static func name(_ anchor: UnsafeMutablePointer<yaml_char_t>?) -> String? {
            anchor.map { String(cString: $0) }
        }
    }
}
