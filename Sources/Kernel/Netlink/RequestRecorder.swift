internal import Synchronization

/// Notes what sockets ask the kernel, so that a test can tell what an answer costs.
package final class RequestRecorder: Sendable {
    package struct Request: Sendable, Hashable {
        /// The type of the message, with the number of its subsystem.
        package let type: UInt16
        /// Whether all objects were asked for.
        package let isDump: Bool
        /// How many objects came.
        package fileprivate(set) var answerCount = 0
    }

    private let noted = Mutex<[Request]>([])

    package init() {}

    package var requests: [Request] { noted.withLock(\.self) }

    func note(_ request: borrowing MessageBuffer, isDump: Bool) {
        // struct nlmsghdr: the length, then the type
        let type = request.bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
        noted.withLock { $0.append(Request(type: type, isDump: isDump)) }
    }

    func noteAnswer() {
        noted.withLock { noted in
            guard let last = noted.indices.last else { return }
            noted[last].answerCount += 1
        }
    }
}
