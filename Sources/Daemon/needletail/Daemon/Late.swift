internal import Synchronization

/// A value that is set after the objects that use it have been made; nil before that.
final class Late<Value: Sendable>: Sendable {
    private let box = Mutex<Value?>(nil)

    var value: Value? {
        get { box.withLock(\.self) }
        set { box.withLock { $0 = newValue } }
    }
}
