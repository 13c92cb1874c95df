internal import Glibc
package import NetworkNamespaces
internal import Observability
internal import Synchronization
internal import Threads

/// Constant connections to an address: many that stay open, and short ones, one after the other.
package final class Traffic: Sendable {
    private struct State {
        var opened = 0
        /// The descriptions of failed connections.
        var failures: [String] = []
        var phase = ""
        var isEnding = false
        var hasEnded = false
    }

    /// How long a call waits, in seconds.
    ///
    /// TCP repeats what a busy machine drops, at ever longer intervals; a connection that no rule
    /// leads anywhere stays without an answer however long one waits.
    private static let patience = 60

    private let lasting: [Stream]
    private let state = Mutex(State())

    package init(
        from namespace: NetworkNamespace,
        to host: String,
        _ port: UInt16,
        lasting count: Int
    ) throws {
        DescriptorLimit.raise()
        lasting = try (0..<count).map { number in
            let start = ContinuousClock.now
            let stream = try Stream.connecting(namespace, host, port, limit: Self.patience)
            guard let stream, stream.echoes else {
                let code = errno
                let what = stream == nil ? "is not connected" : "gets no answer"
                throw CommandError(
                    "connection \(number) to \(host) port \(port) \(what): errno \(code) after \(ContinuousClock.now - start)"
                )
            }
            return stream
        }
        startThread { [self] in
            while state.withLock({ !$0.isEnding }) {
                let start = ContinuousClock.now
                let stream =
                    (try? Stream.connecting(namespace, host, port, limit: Self.patience)) ?? nil
                let isGood = stream?.echoes ?? false
                let code = errno
                stream?.reset()
                state.withLock {
                    $0.opened += 1
                    guard !isGood else { return }
                    let what = stream == nil ? "refused" : "broken"
                    $0.failures.append(
                        "\($0.phase): \(what) (\(code)) after \(ContinuousClock.now - start)"
                    )
                }
            }
            state.withLock { $0.hasEnded = true }
        }
    }

    package var opened: Int { state.withLock(\.opened) }

    /// The time and kind of each failure among the short connections.
    package var failures: [String] { state.withLock(\.failures) }

    /// Names the phase that begins now, for the descriptions.
    package func enter(_ phase: String) { state.withLock { $0.phase = phase } }

    /// The number of lasting connections that are broken.
    package var broken: Int { lasting.count { !$0.echoes } }

    /// Waits until `count` more short connections have been made, as long as there is progress.
    package func wait(forMore count: Int) throws {
        let goal = opened + count
        var (last, deadline) = (opened, ContinuousClock.now + .seconds(300))
        while case let now = opened, now < goal {
            if now > last { (last, deadline) = (now, .now + .seconds(300)) }
            guard .now < deadline else { throw CommandError("only \(now) of \(goal)") }
            usleep(5000)
        }
    }

    package func end() {
        state.withLock { $0.isEnding = true }
        while state.withLock({ !$0.hasEnded }) { usleep(1000) }
    }
}
