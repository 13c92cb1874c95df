/// Reads YAML with libyaml.
///
/// Errors do not quote the text, which may be secret.
package enum YAMLReader {
    /// Returns the documents of a text in order.
    ///
    /// Each use of an alias counts all the parts that it stands for, so a short text cannot expand
    /// without bound.
    package static func documents(in text: String) throws(YAMLError) -> [YAMLNode] {
        try reading(text) { composer throws(YAMLError) in
            var documents: [YAMLNode] = []
            while let document = try composer.next() { documents.append(document) }
            return documents
        }
    }

    /// Returns the first document, and the line of a second one that is not empty, if there is one.
    ///
    /// It does not matter whether the second document can be read.
    package static func firstDocument(
        in text: String
    ) throws(YAMLError) -> (root: YAMLNode?, following: Int?) {
        try reading(text) { composer throws(YAMLError) in
            guard let root = try composer.next() else { return (nil, nil) }
            do throws(YAMLError) {
                return (root, try composer.next().flatMap { $0.isNull ? nil : $0.line })
            } catch {
                return (root, composer.documentLine)
            }
        }
    }

    private static func reading<Value>(
        _ text: String,
        _ body: (inout Composer) throws(YAMLError) -> Value
    ) throws(YAMLError) -> Value {
        var text = text
        // A byte order mark has no meaning in UTF-8.
        if text.unicodeScalars.first == "\u{FEFF}" { text.unicodeScalars.removeFirst() }
        return try text.withUTF8 { bytes in
            Result { () throws(YAMLError) in
                var composer = Composer(YAMLEvents(bytes))
                return try body(&composer)
            }
        }.get()
    }
}

/// Builds nodes from events.
private struct Composer: ~Copyable {
    /// A part of a document, and the number of parts in it including itself.
    private struct Part {
        let node: YAMLNode
        let size: Int
    }

    private var events: YAMLEvents
    private var anchors: [String: Part] = [:]
    /// The line on which the current document begins.
    private(set) var documentLine = 1
    private var read = 0
    private var copied = 0

    private static let deepest = 200
    /// The number of parts that aliases may add to any text; each part that was written adds
    /// `copiesPerPart` to it.
    private static let freeCopies = 10_000
    private static let copiesPerPart = 10

    init(_ events: consuming YAMLEvents) { self.events = events }

    /// The next document; nil if there is none.
    mutating func next() throws(YAMLError) -> YAMLNode? {
        while true {
            let event = try events.next()
            switch event.kind {
            case .documentStart:
                anchors = [:]
                documentLine = event.line
                return try part(of: try events.next(), depth: 0).node
            case .end: return nil
            default: continue
            }
        }
    }

    private mutating func part(
        of event: YAMLEvents.Event,
        depth: Int
    ) throws(YAMLError) -> Part {
        guard depth < Self.deepest else {
            throw YAMLError("more than \(Self.deepest) levels", line: event.line)
        }
        read += 1
        let part: Part
        switch event.kind {
        case .alias(let name): return try copy(name, line: event.line)
        case .scalar(let scalar):
            part = Part(node: YAMLNode(.scalar(scalar), line: event.line), size: 1)
        case .sequenceStart: part = try sequence(line: event.line, depth)
        case .mappingStart: part = try mapping(line: event.line, depth)
        default: throw YAMLError("something else than a value", line: event.line)
        }
        if let anchor = event.anchor { anchors[anchor] = part }
        return part
    }

    private mutating func copy(_ name: String, line: Int) throws(YAMLError) -> Part {
        guard let part = anchors[name] else {
            throw YAMLError("an alias stands for nothing before it", line: line)
        }
        copied += part.size
        guard copied <= Self.freeCopies + Self.copiesPerPart * read else {
            throw YAMLError("aliases stand for too much; write them out", line: line)
        }
        return part
    }

    private mutating func sequence(line: Int, _ depth: Int) throws(YAMLError) -> Part {
        var list: [YAMLNode] = []
        var size = 1
        while true {
            let event = try events.next()
            if case .sequenceEnd = event.kind { break }
            let part = try part(of: event, depth: depth + 1)
            list.append(part.node)
            size += part.size
        }
        return Part(node: YAMLNode(.sequence(list), line: line), size: size)
    }

    private mutating func mapping(line: Int, _ depth: Int) throws(YAMLError) -> Part {
        var entries: [YAMLEntry] = []
        var merged: [YAMLEntry] = []
        var size = 1
        while true {
            let event = try events.next()
            if case .mappingEnd = event.kind { break }
            let key = try part(of: event, depth: depth + 1).node
            let value = try part(of: try events.next(), depth: depth + 1)
            size += 1 + value.size
            guard let name = key.text else {
                throw YAMLError("a key that is no text", line: event.line)
            }
            if name == "<<", key.scalar?.isPlain == true {
                merged += try Self.mergeable(value.node)
            } else {
                entries.append(YAMLEntry(name, value.node, line: event.line))
            }
        }
        if !merged.isEmpty {
            // The mapping's own keys take precedence over merged keys, and earlier merges over
            // later ones.
            var known = Set(entries.map(\.key))
            for entry in merged where known.insert(entry.key).inserted { entries.append(entry) }
        }
        return Part(node: YAMLNode(.mapping(entries), line: line), size: size)
    }

    private static func mergeable(_ node: YAMLNode) throws(YAMLError) -> [YAMLEntry] {
        var entries: [YAMLEntry] = []
        for part in node.sequence ?? [node] {
            guard let mapping = part.mapping else {
                throw YAMLError("<< takes a mapping, or a list of mappings", line: node.line)
            }
            entries += mapping
        }
        return entries
    }
}
