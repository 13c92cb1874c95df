internal import YAML

/// A part of a lab's file, with its place, whose readers accept nothing that they do not know.
struct LabFilePart {
    let node: YAMLNode
    let file: String
    /// As in `services[0].port`; empty for the whole.
    let path: String

    func failure(_ reason: String) -> LabFileError {
        LabFileError(file: file, line: node.line, path: path, reason: reason)
    }

    // MARK: Values

    func text() throws(LabFileError) -> String {
        guard let text = node.text, !node.isNull else { throw failure("is no text") }
        return text
    }

    func integer(in range: ClosedRange<Int>) throws(LabFileError) -> Int {
        guard let value = node.scalar?.integer(Int.self), range.contains(value) else {
            throw failure(
                "is no whole number from \(range.lowerBound) to \(range.upperBound)"
            )
        }
        return value
    }

    /// Reads one of the words that a type has.
    func word<Word: RawRepresentable & CaseIterable>(
        _: Word.Type = Word.self
    ) throws(LabFileError) -> Word where Word.RawValue == String {
        let text = try text()
        if let word = Word(rawValue: text) { return word }
        throw unknown(text, "value", Word.allCases.map(\.rawValue))
    }

    /// Reads a name in lower-case letters, digits and hyphens, which begins with a letter.
    func name(longest: Int) throws(LabFileError) -> String {
        let text = try text()
        let isGood = text.utf8.allSatisfy {
            UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0
                || UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0
                || $0 == UInt8(ascii: "-")
        }
        guard isGood, text.first?.isLetter == true, text.last != "-", text.utf8.count <= longest
        else {
            throw failure(
                "\(text) is no name of at most \(longest) lower-case letters, digits and hyphens, "
                    + "of which the first is a letter and the last no hyphen"
            )
        }
        return text
    }

    func list() throws(LabFileError) -> [LabFilePart] {
        guard let list = node.sequence else { throw failure("is no list") }
        return list.enumerated().map {
            LabFilePart(node: $1, file: file, path: "\(path)[\($0)]")
        }
    }

    // MARK: Mappings

    /// Returns the parts of a mapping, all of whose keys are among those that are allowed.
    func fields(_ allowed: [String]) throws(LabFileError) -> [String: LabFilePart] {
        guard let entries = node.mapping else {
            throw failure("is no mapping; allowed keys: \(allowed.joined(separator: ", "))")
        }
        var fields: [String: LabFilePart] = [:]
        for entry in entries {
            let part = child(entry.key, YAMLNode(entry.value.content, line: entry.line))
            guard allowed.contains(entry.key) else { throw part.unknown(entry.key, "key", allowed) }
            guard fields[entry.key] == nil else { throw part.failure("is there twice") }
            guard !entry.value.isNull else {
                throw part.failure("has no value; leave the key out for what is usual")
            }
            fields[entry.key] = part
        }
        return fields
    }

    /// The part of a mapping that has a key.
    func child(_ key: String, _ node: YAMLNode) -> LabFilePart {
        LabFilePart(node: node, file: file, path: path.isEmpty ? key : "\(path).\(key)")
    }

    func unknown(_ word: String, _ role: String, _ allowed: [String]) -> LabFileError {
        let near = nearest(to: word, among: allowed).map { "; do you mean \($0)? " } ?? ". "
        let what = role == "key" ? "is no key here" : "\(word) is no \(role) here"
        return failure("\(what)\(near)Allowed: \(allowed.joined(separator: ", "))")
    }
}
