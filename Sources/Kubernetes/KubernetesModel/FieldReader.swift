internal import KubernetesWire
internal import NetworkTypes

/// Collects the unusable values of one object while its fields are read.
///
/// Only the first few are described and the others counted, since the author of the object decides
/// how many there are.
struct FieldReader {
    private static let limit = 10
    /// The limit for the text of a problem in bytes, since the values it quotes may be long.
    private static let longestReason = 300

    private var told: [FieldProblem] = []
    private var untold = 0

    var problems: [FieldProblem] { untold == 0 ? told : told + [.more(untold)] }

    mutating func report(_ field: @autoclosure () -> String, _ reason: @autoclosure () -> String) {
        guard told.count < Self.limit else {
            untold += 1
            return
        }
        var text = reason()
        if text.utf8.count > Self.longestReason {
            text = String(decoding: text.utf8.prefix(Self.longestReason), as: UTF8.self) + "…"
        }
        told.append(FieldProblem(field(), text))
    }

    mutating func address(_ bytes: WireText, _ field: @autoclosure () -> String) -> IPAddress? {
        let text = bytes.text
        if let address = IPAddress(text) { return address }
        report(field(), "\"\(text)\" is not an IP address")
        return nil
    }

    mutating func prefix(_ bytes: WireText, _ field: @autoclosure () -> String) -> IPPrefix? {
        let text = bytes.text
        if let prefix = IPPrefix(text) { return prefix }
        report(field(), "\"\(text)\" is not a CIDR block")
        return nil
    }

    /// Reads a name that will be compared with other names, and so must be UTF-8.
    mutating func name(_ bytes: WireText, _ field: @autoclosure () -> String) -> String? {
        if let name = bytes.exactText { return name }
        report(field(), "\"\(bytes.text)\" is not UTF-8")
        return nil
    }

    mutating func port(_ number: Int32, _ field: @autoclosure () -> String) -> UInt16? {
        if let port = UInt16(exactly: number), port > 0 { return port }
        report(field(), "\(number) is not a port number (1-65535)")
        return nil
    }

    mutating func transport(
        _ bytes: WireText,
        _ field: @autoclosure () -> String
    ) -> TransportProtocol? {
        guard !bytes.isEmpty else { return .tcp }
        let name = bytes.text
        if let transport = TransportProtocol(kubernetesName: name) { return transport }
        report(field(), "\"\(name)\" is not TCP, UDP or SCTP")
        return nil
    }

    /// Reads a word of an enumeration; an unknown word becomes the default.
    mutating func word<T: RawRepresentable<String>>(
        _ bytes: WireText,
        _ field: @autoclosure () -> String,
        default fallback: T
    ) -> T {
        guard !bytes.isEmpty else { return fallback }
        let text = bytes.text
        if let value = T(rawValue: text) { return value }
        report(field(), "\"\(text)\" is unknown; treated as \(fallback.rawValue)")
        return fallback
    }
}

extension Array {
    /// Does the same as `compactMap`, with indices, and returns an array without spare capacity.
    ///
    /// The results are kept for a long time.
    func compactMapIndexed<Value>(_ body: (Int, Element) -> Value?) -> [Value] {
        var result: [Value] = []
        result.reserveCapacity(count)
        for (index, element) in enumerated() {
            if let value = body(index, element) { result.append(value) }
        }
        return result
    }
}
