internal import CNeedleShim
internal import Glibc
internal import Threads

/// A lock that one process of a network namespace holds until it ends, however it ends.
///
/// It is a listening socket with an abstract address. The kernel looks such addresses up by network
/// namespace (`net/unix/af_unix.c: unix_find_socket_byname`), so containers with different file
/// systems, users and PIDs see the same one, and nothing is left to clean up.
package final class NamespaceLock: Sendable {
    package enum Attempt: Sendable {
        case taken(NamespaceLock)
        case held(by: Holder)
        /// Nobody can have it: the process may not use such sockets.
        case unusable(NetlinkError)
    }

    private let socket: UnixSocket

    private init(_ socket: UnixSocket) { self.socket = socket }

    /// Tries to take the lock of this thread's network namespace.
    ///
    /// - Parameter name: `/proc/net/unix` shows it behind an `@`
    package static func attempt(_ name: String) -> Attempt {
        do throws(NetlinkError) {
            let socket = try UnixSocket()
            guard try socket.bind(to: name) else {
                return .held(by: Holder(try UnixSocket(), name))
            }
            try socket.listen()
            return .taken(NamespaceLock(socket))
        } catch {
            return .unusable(error)
        }
    }

    /// The process that has the lock.
    package struct Holder: Sendable {
        /// Its number, if it is in this process's PID namespace.
        package let process: Int32?
        /// Its user when it took the lock; nil if that could not be found out.
        package let user: UInt32?
        /// A connection that the kernel resets when the holder ends; nil if it takes none.
        private let connection: UnixSocket?

        fileprivate init(_ socket: UnixSocket, _ name: String) {
            let isConnected = socket.connect(to: name)
            let peer = isConnected ? socket.peer : nil
            process = peer.flatMap { $0.process > 0 ? $0.process : nil }
            user = peer?.user
            connection = isConnected ? socket : nil
        }

        /// Whether it may be a program like this one: any user could take the name.
        package var isTrusted: Bool { user.map { $0 == 0 || $0 == geteuid() } ?? true }

        /// Waits until the lock may be free, or the task is cancelled.
        package func waitForEnd() async {
            guard let connection else {
                // It has just begun or ended, or others fill its queue.
                try? await Task.sleep(for: .milliseconds(100))
                return
            }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    startThread {
                        connection.waitForReset()
                        continuation.resume()
                    }
                }
            } onCancel: {
                connection.shutDown()
            }
        }
    }
}

/// A non-blocking stream socket with an abstract address.
private final class UnixSocket: Sendable {
    private let descriptor: Int32

    init() throws(NetlinkError) {
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let opened = socket(AF_UNIX, Int32(type), 0)
        guard opened >= 0 else { throw NetlinkError("opening a Unix socket", code: errno) }
        // The kernel closes the descriptors of a process that ends in their order; whoever waits for
        // this one should find the ports of the others free.
        let moved = fcntl(opened, F_DUPFD_CLOEXEC, 1000)
        descriptor = moved >= 0 ? moved : opened
        if moved >= 0 { close(opened) }
    }

    deinit { close(descriptor) }

    /// Returns false if another socket has the name.
    func bind(to name: String) throws(NetlinkError) -> Bool {
        if withAddress(name, { Glibc.bind(descriptor, $0, $1) }) == 0 { return true }
        guard errno == EADDRINUSE else {
            throw NetlinkError("binding the Unix socket @\(name)", code: errno)
        }
        return false
    }

    func listen() throws(NetlinkError) {
        guard Glibc.listen(descriptor, 128) == 0 else {
            throw NetlinkError("listening on a Unix socket", code: errno)
        }
    }

    func connect(to name: String) -> Bool {
        withAddress(name) { Glibc.connect(descriptor, $0, $1) } == 0
    }

    /// The credentials that the listening process had when it began to listen.
    var peer: (process: Int32, user: UInt32)? {
        var (process, user): (Int32, UInt32) = (0, 0)
        return needle_peer(descriptor, &process, &user) == 0 ? (process, user) : nil
    }

    func waitForReset() {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while poll(&entry, 1, -1) < 0, errno == EINTR {}
    }

    func shutDown() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Calls the closure with the abstract address of a name of at most 107 bytes.
    private func withAddress(
        _ name: String,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // The first byte of the path stays 0.
        withUnsafeMutableBytes(of: &address.sun_path) { path in
            for (index, byte) in name.utf8.prefix(path.count - 1).enumerated() {
                path[1 + index] = byte
            }
        }
        let length = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(length + 1 + name.utf8.count))
            }
        }
    }
}
