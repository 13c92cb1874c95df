package import NetworkTypes
internal import Synchronization

/// The last 16 addresses and ports at which this program has reached API servers.
///
/// Any thread may use it.
package final class APIServerAddresses: Sendable {
    private struct State {
        var keys: [FrontendKey] = []
        var onChange: (@Sendable () -> Void)?
    }

    private static let limit = 16
    private let state = Mutex(State())

    package init() {}

    package var all: Set<FrontendKey> { Set(state.withLock { $0.keys }) }

    package func add(_ address: IPAddress, _ port: UInt16) {
        let key = FrontendKey(address, .tcp, port)
        let onChange = state.withLock { state -> (@Sendable () -> Void)? in
            guard !state.keys.contains(key) else { return nil }
            state.keys = state.keys.suffix(Self.limit - 1) + [key]
            return state.onChange
        }
        onChange?()
    }

    func onChange(_ body: @escaping @Sendable () -> Void) {
        state.withLock { $0.onChange = body }
    }
}
