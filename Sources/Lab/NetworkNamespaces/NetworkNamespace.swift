internal import CNeedleShim
internal import Glibc

/// A network namespace that is held open, for the lab and the tests only.
package final class NetworkNamespace: Sendable {
    private let descriptor: Int32

    /// Opens a namespace by its name in `ip netns`.
    package init(named name: String) throws {
        descriptor = open("/run/netns/\(name)", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw CommandError("network namespace \(name): \(String(cString: strerror(errno)))")
        }
    }

    /// Makes a new namespace without a name, which disappears with its last user.
    package init() throws {
        let home = try Self.current()
        defer { close(home) }
        guard needle_new_network_namespace() == 0 else {
            throw CommandError(
                "a network namespace cannot be made: \(String(cString: strerror(errno)))"
            )
        }
        defer { Self.join(home) }
        descriptor = try Self.current()
    }

    deinit { close(descriptor) }

    /// Runs the closure on this thread inside the namespace.
    ///
    /// Sockets it opens and processes it starts belong to the namespace. So would new threads, for
    /// as long as they live: the closure must not hand work to a queue or a task, whose pool may
    /// start a thread.
    package func inside<T>(_ body: () throws -> T) throws -> T {
        let home = try Self.current()
        defer { close(home) }
        Self.join(descriptor)
        // A pooled thread must not remain in another namespace.
        defer { Self.join(home) }
        return try body()
    }

    /// Runs a program inside the namespace and returns its output.
    @discardableResult
    package func run(_ arguments: [String], input: String = "") throws -> String {
        try inside { try Command.run(arguments, input: input) }
    }

    /// Runs `ip` commands inside the namespace, one per element.
    package func ip(_ commands: [String]) throws {
        try run(["ip", "-batch", "-"], input: commands.joined(separator: "\n") + "\n")
        try settle()
    }

    /// Makes a pair of connected interfaces, one here and one in another namespace.
    package func addPair(_ link: String, to other: NetworkNamespace, as peer: String) throws {
        try ip(["link add name \(link) type veth peer name \(peer) netns \(other.path)"])
    }

    /// Moves an interface to another namespace.
    package func move(_ link: String, to other: NetworkNamespace) throws {
        try ip(["link set \(link) netns \(other.path)"])
    }

    /// Where programs that this process starts find the namespace.
    private var path: String { "/proc/\(getpid())/fd/\(descriptor)" }

    package func setSysctl(_ name: String, _ value: String) throws {
        try inside {
            let file = open("/proc/sys/\(name)", O_WRONLY)
            defer { close(file) }
            guard file >= 0, write(file, value, value.utf8.count) > 0 else {
                throw CommandError(
                    "sysctl \(name) cannot be set: \(String(cString: strerror(errno)))"
                )
            }
        }
    }

    /// Makes a TUN device inside the namespace, and returns the descriptor of its packets.
    ///
    /// Reading does not block. The device disappears with the descriptor.
    package func makeTunnel(named name: String) throws -> Int32 {
        let tunnel = try inside { needle_open_tun(name) }
        guard tunnel >= 0 else {
            throw CommandError("TUN device \(name): \(String(cString: strerror(-tunnel)))")
        }
        return tunnel
    }

    private static func current() throws -> Int32 {
        let file = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            throw CommandError("/proc/thread-self/ns/net: \(String(cString: strerror(errno)))")
        }
        return file
    }

    private static func join(_ descriptor: Int32) {
        precondition(
            needle_join_network_namespace(descriptor) == 0,
            "a network namespace cannot be joined"
        )
    }
}
