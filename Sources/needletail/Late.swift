internal import Synchronization

/// A value that is made after those who will use it.
final class Late<Value: Sendable>: Sendable {
    private let box = Mutex<Value?>(nil)

    var value: Value? {
        get { box.withLock(\.self) }
        set { box.withLock { $0 = newValue } }
    }
}
