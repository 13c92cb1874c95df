internal import Glibc
internal import Synchronization
internal import Threads

/// Serves health and metrics on any number of addresses, from one thread.
///
/// A port that is open on every node must withstand any number of connections, clients that send or
/// read slowly (ten seconds are allowed for each request and each answer), and arbitrary bytes.
/// Each connection carries one request, so that nothing piles up. See `ConnectionLoop`.
package final class HTTPServer: Sendable {
    /// A handler, called on the server's thread while all other clients wait.
    ///
    /// It must answer from what is already known, and never wait for anything.
    package typealias Handler = @Sendable (HTTPRequest) -> HTTPResponse

    /// The listeners that the thread has not been told to close: the number of another one may be
    /// that of any other file.
    private let listening = Mutex<Set<Int32>>([])
    private let commands = Mutex<[ConnectionLoop.Command]>([])
    /// A socket pair: a byte sent into the first wakes the thread, which reads the second.
    private let bell: (ring: Int32, wait: Int32)

    /// Starts the server's thread.
    ///
    /// - Parameter maximum: the number of connections that may be open at a time
    package init(maximumConnections maximum: Int = 512) {
        var pair: [Int32] = [-1, -1]
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        socketpair(AF_UNIX, Int32(type), 0, &pair)
        let bell = (ring: pair[0], wait: pair[1])
        self.bell = bell
        startThread { [weak self] in
            var loop = ConnectionLoop(bell: bell.wait, maximum: maximum)
            while true {
                loop.wait()
                // If the server no longer exists, the loop gets a stop command.
                guard loop.perform(self?.takeCommands() ?? [.stop]) else { break }
                loop.serve()
            }
            loop.stop()
            close(bell.wait)
        }
    }

    /// A handle for `stopListening`.
    package struct Listener: Sendable, Hashable { fileprivate let descriptor: Int32 }

    @discardableResult
    package func listen(
        on address: ListenAddress,
        _ handler: @escaping Handler
    ) throws(ListenError) -> Listener {
        let descriptor = try address.open()
        listening.withLock { _ = $0.insert(descriptor) }
        send(.listen(descriptor, address.address, handler))
        return Listener(descriptor: descriptor)
    }

    /// Stops listening on the address; accepted connections are still answered.
    package func stopListening(_ listener: Listener) {
        let isListening = listening.withLock { listening in
            guard listening.remove(listener.descriptor) != nil else { return false }
            // This frees the address at once, even if the thread closes the socket later.
            shutdown(listener.descriptor, Int32(SHUT_RDWR))
            return true
        }
        if isListening { send(.close(listener.descriptor)) }
    }

    package func stop() {
        listening.withLock { $0 = [] }
        send(.stop)
    }

    deinit {
        ring()
        close(bell.ring)
    }

    private func send(_ command: ConnectionLoop.Command) {
        commands.withLock { $0.append(command) }
        ring()
    }

    private func ring() {
        var byte: UInt8 = 1
        _ = Glibc.send(bell.ring, &byte, 1, Int32(MSG_NOSIGNAL))
    }

    private func takeCommands() -> [ConnectionLoop.Command] {
        commands.withLock { commands in
            defer { commands = [] }
            return commands
        }
    }
}
