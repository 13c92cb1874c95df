internal import Synchronization

/// A time limit that ends a stream, unless the stream has proved in time to be what was asked for.
final class StreamLimit: Sendable {
    private enum State {
        case open(end: (@Sendable () -> Void)?)
        case kept
        case passed
    }

    private let state = Mutex(State.open(end: nil))

    /// Sets the closure that ends the stream.
    func onPass(_ end: @escaping @Sendable () -> Void) {
        let isLate = state.withLock { state in
            switch state {
            case .open: state = .open(end: end)
            case .kept: break
            case .passed: return true
            }
            return false
        }
        if isLate { end() }
    }

    /// Lifts the limit, so that the stream may last as long as it needs.
    func keep() {
        state.withLock { if case .open = $0 { $0 = .kept } }
    }

    var isPassed: Bool { state.withLock { if case .passed = $0 { true } else { false } } }

    /// Waits for the limit, and ends the stream then unless it was kept.
    func run(_ limit: Duration) async {
        guard (try? await Task.sleep(for: limit)) != nil else { return }
        let end = state.withLock { state -> (@Sendable () -> Void)? in
            guard case .open(let end) = state else { return nil }
            state = .passed
            return end
        }
        end?()
    }
}
