internal import Synchronization

/// The bytes that were exchanged with API servers, by kind of object.
///
/// They are those of headers and bodies: bodies as they were sent, compressed if they were, and
/// headers as HTTP/1.1 writes them; neither TLS nor the framing of HTTP is in them.
package final class APITraffic: Sendable {
    package struct Bytes: Sendable, Hashable {
        package var received = 0
        package var sent = 0

        package init(received: Int = 0, sent: Int = 0) {
            (self.received, self.sent) = (received, sent)
        }

        static func += (sum: inout Bytes, more: Bytes) {
            sum.received += more.received
            sum.sent += more.sent
        }
    }

    private let state = Mutex<[String: Bytes]>([:])

    package init() {}

    func add(_ bytes: Bytes, _ kind: String) {
        state.withLock { $0[kind, default: Bytes()] += bytes }
    }

    /// The bytes by kind of object, such as `EndpointSlice`; `other` for what belongs to none.
    package var kinds: [String: Bytes] { state.withLock(\.self) }

    package var total: Bytes { kinds.values.reduce(into: Bytes()) { $0 += $1 } }
}
