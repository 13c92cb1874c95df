/// A part of a YAML document, with aliases resolved and merge keys merged.
package struct YAMLNode: Sendable {
    package enum Content: Sendable {
        case scalar(YAMLScalar)
        case sequence([YAMLNode])
        case mapping([YAMLEntry])
    }

    package let content: Content
    /// The line, counted from 1.
    package let line: Int

    package init(_ content: Content, line: Int) {
        (self.content, self.line) = (content, line)
    }

    package var scalar: YAMLScalar? {
        if case .scalar(let scalar) = content { scalar } else { nil }
    }
    package var sequence: [YAMLNode]? {
        if case .sequence(let list) = content { list } else { nil }
    }
    package var mapping: [YAMLEntry]? { if case .mapping(let list) = content { list } else { nil } }

    /// The text of a scalar, as written.
    package var text: String? { scalar?.text }
    package var isNull: Bool { scalar?.isNull ?? false }

    /// Returns the last value of a key in a mapping, as Go's YAML does for a key that is given
    /// twice.
    package subscript(key: String) -> YAMLNode? {
        mapping?.last { $0.key == key }?.value
    }

    package subscript(index: Int) -> YAMLNode? {
        guard let sequence, sequence.indices.contains(index) else { return nil }
        return sequence[index]
    }
}

/// A key of a mapping and its value.
package struct YAMLEntry: Sendable {
    package let key: String
    package let value: YAMLNode
    /// The line of the key, counted from 1.
    package let line: Int

    package init(_ key: String, _ value: YAMLNode, line: Int) {
        (self.key, self.value, self.line) = (key, value, line)
    }
}

/// A scalar, which is interpreted by YAML 1.1 like in Kubernetes' own readers.
package struct YAMLScalar: Sendable, Hashable {
    package let text: String
    /// Whether the scalar is neither quoted nor tagged as text, so that it may be more than text.
    package let isPlain: Bool

    package init(_ text: String, isPlain: Bool) { (self.text, self.isPlain) = (text, isPlain) }

    package var isNull: Bool { isPlain && ["", "~", "null", "Null", "NULL"].contains(text) }

    package var bool: Bool? {
        guard isPlain else { return nil }
        switch text {
        case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON": return true
        case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF": return false
        default: return nil
        }
    }

    /// Reads a whole number: decimal, or with the prefix 0x, 0o, 0b or 0 (octal).
    ///
    /// `80.0` is accepted too, since some programs write 80 in this form.
    package func integer<Value: FixedWidthInteger>(_: Value.Type = Value.self) -> Value? {
        guard isPlain else { return nil }
        var digits = text.filter { $0 != "_" }
        let isNegative = digits.hasPrefix("-")
        if isNegative || digits.hasPrefix("+") { digits.removeFirst() }
        var radix = 10
        for (prefix, base) in [("0x", 16), ("0o", 8), ("0b", 2), ("0", 8)]
        where digits.count > prefix.count && digits.hasPrefix(prefix) && !digits.contains(".") {
            digits.removeFirst(prefix.count)
            radix = base
            break
        }
        guard digits.first?.isHexDigit == true else { return nil }
        if let value = Value((isNegative ? "-" : "") + digits, radix: radix) { return value }
        return radix == 10 ? number.flatMap(Value.init(exactly:)) : nil
    }

    package var number: Double? {
        guard isPlain else { return nil }
        switch text {
        case ".inf", ".Inf", ".INF", "+.inf": return .infinity
        case "-.inf", "-.Inf", "-.INF": return -.infinity
        case ".nan", ".NaN", ".NAN": return .nan
        default:
            guard text.utf8.allSatisfy({ "0123456789+-.eE_".utf8.contains($0) }) else { return nil }
            return Double(text.filter { $0 != "_" })
        }
    }
}
