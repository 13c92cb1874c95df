package import NetworkTypes

/// The clients that may reach a Service from outside, as set by annotations.
///
/// They hold for NodePorts, external IPs and load balancer VIPs alike, beside
/// `spec.loadBalancerSourceRanges`.
package struct ClientRanges: Sendable, Hashable {
    /// The blocks whose clients may connect; nil allows everyone.
    ///
    /// The list is empty if blocks were given but none of them could be read.
    package var allowed: [IPPrefix]?
    /// The blocks whose clients may not connect, whatever allows them; nil denies nobody.
    ///
    /// The list is empty if blocks were given but none of them could be read.
    package var denied: [IPPrefix]?

    package init() {}

    package var isGiven: Bool { allowed != nil || denied != nil }

    package static let allowAnnotation = "needletail.io/source-ranges"
    package static let denyAnnotation = "needletail.io/deny-source-ranges"
}

extension ClientRanges {
    /// Reads the values of the annotations; an empty value counts as absent.
    init(allowed: String, denied: String, _ reader: inout FieldReader) {
        self.allowed = Self.blocks(allowed, Self.allowAnnotation, &reader)
        self.denied = Self.blocks(denied, Self.denyAnnotation, &reader)
    }

    private static func blocks(
        _ text: String,
        _ annotation: String,
        _ reader: inout FieldReader
    ) -> [IPPrefix]? {
        guard text.contains(where: { !$0.isWhitespace }) else { return nil }
        var blocks: [IPPrefix] = []
        for part in text.split(separator: ",") {
            let entry = part.filter { !$0.isWhitespace }
            guard !entry.isEmpty else { continue }
            if let block = IPPrefix(entry) ?? IPAddress(entry).map(IPPrefix.init(host:)) {
                blocks.append(block)
            } else {
                reader.report(
                    "metadata.annotations[\(annotation)]",
                    "\"\(entry)\" is neither a CIDR block nor an address"
                )
            }
        }
        return blocks
    }
}
