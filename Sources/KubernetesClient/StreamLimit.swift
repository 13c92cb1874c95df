internal import Synchronization

/// Ends a stream that has not said by then that it is what was asked for.
final class StreamLimit: Sendable {
    private enum State {
        case open(end: (@Sendable () -> Void)?)
        case kept
        case passed
    }

    private let state = Mutex(State.open(end: nil))

    /// How to end the stream.
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

    /// The stream may go on for as long as it likes.
    func keep() {
        state.withLock { if case .open = $0 { $0 = .kept } }
    }

    var isPassed: Bool { state.withLock { if case .passed = $0 { true } else { false } } }

    /// Waits, and ends the stream unless it was kept.
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
