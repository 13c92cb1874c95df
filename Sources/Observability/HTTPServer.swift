internal import Glibc
internal import Synchronization
internal import Threads

/// Serves health and metrics on any number of addresses, from one thread.
///
/// What an open port of every node must stand: as many connections as anybody likes (the oldest
/// idle one makes way), clients that send or read slowly (each request and each answer has ten
/// seconds), and any bytes at all. One request on a connection, so nothing piles up.
package final class HTTPServer: Sendable {
    /// Called on the server's thread.
    package typealias Handler = @Sendable (HTTPRequest) -> Reply

    package enum Reply: Sendable {
        case now(HTTPResponse)
        /// When others have been asked.
        case later(@Sendable () async -> HTTPResponse)
    }

    private enum Command {
        case listen(Int32, Handler)
        case close(Int32)
        case answer(connection: UInt64, [UInt8])
        case stop
    }

    private let commands = Mutex<[Command]>([])
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
            var loop = Loop(bell: bell.wait, maximum: maximum)
            while true {
                loop.wait()
                // The server's end comes as a command, before it is gone.
                let commands = self?.takeCommands() ?? [.stop]
                guard loop.perform(commands) else { break }
                loop.serve(for: self)
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
        send(.listen(descriptor, handler))
        return Listener(descriptor: descriptor)
    }

    /// Closes the address; connections that it has brought are answered.
    package func stopListening(_ listener: Listener) { send(.close(listener.descriptor)) }

    package func stop() { send(.stop) }

    deinit {
        ring()
        close(bell.ring)
    }

    private func send(_ command: Command) {
        commands.withLock { $0.append(command) }
        ring()
    }

    private func ring() {
        var byte: UInt8 = 1
        _ = Glibc.send(bell.ring, &byte, 1, Int32(MSG_NOSIGNAL))
    }

    private func takeCommands() -> [Command] {
        commands.withLock { commands in
            defer { commands = [] }
            return commands
        }
    }
}

// MARK: - The thread

extension HTTPServer {
    private struct Connection {
        enum Stage { case reading, waiting, writing, lingering }

        let descriptor: Int32
        let handler: Handler
        var stage = Stage.reading
        var received: [UInt8] = []
        var unsent: ArraySlice<UInt8> = []
        var deadline: ContinuousClock.Instant
    }

    private struct Loop {
        let bell: Int32
        let maximum: Int
        var listeners: [Int32: Handler] = [:]
        var connections: [UInt64: Connection] = [:]
        var nextID: UInt64 = 0
        var ready: [(descriptor: Int32, connection: UInt64?)] = []

        static let patience = Duration.seconds(10)

        init(bell: Int32, maximum: Int) { (self.bell, self.maximum) = (bell, maximum) }

        /// Waits until something can be done.
        mutating func wait() {
            var entries = [pollfd(fd: bell, events: Int16(POLLIN), revents: 0)]
            var owners: [UInt64?] = [nil]
            if connections.count <= maximum {
                for descriptor in listeners.keys {
                    entries.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
                    owners.append(nil)
                }
            }
            for (id, connection) in connections {
                let events: Int32 =
                    switch connection.stage {
                    case .reading, .lingering: POLLIN
                    case .writing: POLLOUT
                    case .waiting: 0
                    }
                guard events != 0 else { continue }
                entries.append(
                    pollfd(fd: connection.descriptor, events: Int16(events), revents: 0)
                )
                owners.append(id)
            }
            let first = connections.values.map(\.deadline).min()
            let milliseconds =
                first.map { max(0, min(60_000, ($0 - .now) / .milliseconds(1))) + 1 } ?? -1
            poll(&entries, nfds_t(entries.count), Int32(milliseconds))
            ready = zip(entries, owners).dropFirst().filter { $0.0.revents != 0 }.map {
                ($0.0.fd, $0.1)
            }
            var bytes = [UInt8](repeating: 0, count: 64)
            if entries[0].revents != 0 {
                while recv(bell, &bytes, bytes.count, 0) == bytes.count {}
            }
        }

        /// Returns whether the server goes on.
        mutating func perform(_ commands: [Command]) -> Bool {
            for command in commands {
                switch command {
                case .listen(let descriptor, let handler): listeners[descriptor] = handler
                case .close(let descriptor):
                    listeners[descriptor] = nil
                    close(descriptor)
                    ready.removeAll { $0.connection == nil && $0.descriptor == descriptor }
                case .answer(let id, let bytes): answer(id, bytes)
                case .stop: return false
                }
            }
            return true
        }

        mutating func serve(for server: HTTPServer?) {
            for (descriptor, id) in ready {
                guard let id else {
                    accept(descriptor)
                    continue
                }
                switch connections[id]?.stage {
                case .reading: read(id, for: server)
                case .writing: write(id)
                case .lingering: drain(id)
                case .waiting, nil: break
                }
            }
            let now = ContinuousClock.now
            for (id, connection) in connections where connection.deadline <= now {
                if connection.stage == .reading, !connection.received.isEmpty {
                    answer(id, HTTPResponse.refusal(408).bytes())
                } else {
                    drop(id)
                }
            }
        }

        mutating func stop() {
            for descriptor in listeners.keys { close(descriptor) }
            for connection in connections.values { close(connection.descriptor) }
        }

        private mutating func accept(_ listener: Int32) {
            guard let handler = listeners[listener] else { return }
            while connections.count < 2 * maximum {
                let descriptor = Glibc.accept(listener, nil, nil)
                guard descriptor >= 0 else {
                    // Out of descriptors: whoever came first has to go.
                    if errno == EMFILE || errno == ENFILE { dropOldest() }
                    return
                }
                _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
                _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
                if connections.count >= maximum { dropOldest() }
                connections[nextID] = Connection(
                    descriptor: descriptor,
                    handler: handler,
                    deadline: .now + Self.patience
                )
                nextID += 1
            }
        }

        private mutating func dropOldest() {
            let idle = connections.filter { $0.value.stage != .waiting }
            if let oldest = idle.keys.min() { drop(oldest) }
        }

        private mutating func read(_ id: UInt64, for server: HTTPServer?) {
            guard var connection = connections[id] else { return }
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = recv(connection.descriptor, &buffer, buffer.count, 0)
            guard count > 0 else {
                if count == 0 || errno != EAGAIN { drop(id) }
                return
            }
            connection.received += buffer[..<count]
            connections[id] = connection
            switch HTTPRequest.read(connection.received) {
            case .incomplete: break
            case .bad(let status): answer(id, HTTPResponse.refusal(status).bytes())
            case .complete(let request):
                connections[id]?.stage = .waiting
                connections[id]?.deadline = .now + Self.patience * 6
                let isHead = request.method == "HEAD"
                switch connection.handler(request) {
                case .now(let response): answer(id, response.bytes(isHead: isHead))
                case .later(let ask):
                    Task { [weak server] in
                        let bytes = await ask().bytes(isHead: isHead)
                        server?.send(.answer(connection: id, bytes))
                    }
                }
            }
        }

        private mutating func answer(_ id: UInt64, _ bytes: [UInt8]) {
            connections[id]?.unsent = bytes[...]
            connections[id]?.stage = .writing
            connections[id]?.deadline = .now + Self.patience
            write(id)
        }

        private mutating func write(_ id: UInt64) {
            guard let connection = connections[id] else { return }
            let sent = connection.unsent.withUnsafeBytes {
                Glibc.send(connection.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard sent >= 0 else {
                if errno != EAGAIN { drop(id) }
                return
            }
            connections[id]?.unsent = connection.unsent.dropFirst(sent)
            guard sent == connection.unsent.count else { return }
            // What the client still sends would turn the answer into a reset.
            shutdown(connection.descriptor, Int32(SHUT_WR))
            connections[id]?.stage = .lingering
            connections[id]?.deadline = .now + .seconds(1)
        }

        private mutating func drain(_ id: UInt64) {
            guard let connection = connections[id] else { return }
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = recv(connection.descriptor, &buffer, buffer.count, 0)
            if count == 0 || count < 0 && errno != EAGAIN { drop(id) }
        }

        private mutating func drop(_ id: UInt64) {
            guard let connection = connections.removeValue(forKey: id) else { return }
            close(connection.descriptor)
        }
    }
}
