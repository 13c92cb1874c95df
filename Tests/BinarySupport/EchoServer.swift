internal import Glibc
package import NetworkNamespaces
internal import Threads

/// Sends back what it receives, on any number of connections, from its own thread.
package final class EchoServer: Sendable {
    /// A descriptor whose closing ends the thread.
    private let bell: Int32

    package init(_ namespace: NetworkNamespace, port: UInt16) throws {
        var pair: [Int32] = [-1, -1]
        socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair)
        bell = pair[0]
        let listener = try Stream.listening(namespace, port: port)
        let end = pair[1]
        startThread {
            Self.serve(listener.descriptor, end)
            close(end)
            withExtendedLifetime(listener) {}
        }
    }

    deinit { close(bell) }

    private static func serve(_ listener: Int32, _ end: Int32) {
        var entries = [listener, end].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        defer { for entry in entries.dropFirst(2) { close(entry.fd) } }
        var buffer = [UInt8](repeating: 0, count: 256)
        while poll(&entries, nfds_t(entries.count), -1) >= 0, entries[1].revents == 0 {
            for index in entries.indices.dropFirst(2).reversed() where entries[index].revents != 0 {
                let count = recv(entries[index].fd, &buffer, buffer.count, Int32(MSG_DONTWAIT))
                if count > 0 {
                    send(entries[index].fd, buffer, count, Int32(MSG_NOSIGNAL))
                } else {
                    close(entries[index].fd)
                    entries.remove(at: index)
                }
            }
            guard entries[0].revents != 0 else { continue }
            let descriptor = accept(listener, nil, nil)
            if descriptor >= 0 {
                entries.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
            }
        }
    }
}

extension Stream {
    /// Whether the server sends a byte back.
    package var echoes: Bool {
        var byte: UInt8 = 42
        guard send(descriptor, &byte, 1, Int32(MSG_NOSIGNAL)) == 1 else { return false }
        byte = 0
        return recv(descriptor, &byte, 1, 0) == 1 && byte == 42
    }
}
