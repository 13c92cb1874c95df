internal import Glibc
internal import Synchronization
internal import Threads

/// Serves health and metrics on any number of addresses, from one thread.
///
/// What an open port of every node must stand: as many connections as anybody likes, clients that
/// send or read slowly (each request and each answer has ten seconds), and any bytes at all. One
/// request on a connection, so nothing piles up. `ConnectionLoop` tells how.
package final class HTTPServer: Sendable {
    /// Called on the server's thread, where everybody else waits: it must tell what is known, and ask
    /// nobody who may be busy.
    package typealias Handler = @Sendable (HTTPRequest) -> HTTPResponse

    private let commands = Mutex<[ConnectionLoop.Command]>([])
    /// A pair of sockets: a byte into the first rings the thread, which reads the second.
    private let bell: (ring: Int32, wait: Int32)

    /// - Parameter maximum: how many connections are kept at a time
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
                // The server's end comes as a command, before it is gone.
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
        send(.listen(descriptor, address.address, handler))
        return Listener(descriptor: descriptor)
    }

    /// Closes the address; connections that it has brought are answered.
    package func stopListening(_ listener: Listener) {
        // The address is free at once, whenever the thread comes to close it.
        shutdown(listener.descriptor, Int32(SHUT_RDWR))
        send(.close(listener.descriptor))
    }

    package func stop() { send(.stop) }

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
