internal import CNeedleShim
internal import Glibc

/// A named network namespace (`ip netns`).
struct Namespace: Sendable, Hashable {
    /// Everything that a lab makes begins so.
    static let prefix = "nlab-"

    let name: String

    init(_ name: String) { self.name = Self.prefix + name }

    var path: String { "/run/netns/\(name)" }

    /// Runs the body on this thread inside the namespace: sockets it opens and processes it
    /// starts belong there.
    func inside<T>(_ body: () throws -> T) throws -> T {
        let home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
        let target = open(path, O_RDONLY | O_CLOEXEC)
        defer {
            close(home)
            close(target)
        }
        guard target >= 0, needle_join_network_namespace(target) == 0 else {
            throw LabError("network namespace \(name) cannot be entered; is the lab up?")
        }
        defer {
            // A thread of a pool must not stay in a foreign namespace.
            precondition(needle_join_network_namespace(home) == 0, "lost the way home")
        }
        return try body()
    }

    /// Runs `ip` commands in the namespace, one a line.
    func ip(_ commands: [String]) throws {
        try Command.run(["ip", "-n", name, "-batch", "-"], input: commands.joined(separator: "\n") + "\n")
    }

    func setSysctl(_ name: String, _ value: String) throws {
        try inside {
            let descriptor = open("/proc/sys/\(name)", O_WRONLY)
            defer { close(descriptor) }
            guard descriptor >= 0, write(descriptor, value, value.utf8.count) > 0 else {
                throw LabError("sysctl \(name) cannot be set in \(self.name)")
            }
        }
    }

    /// Removes every namespace of a lab, also of one that was killed.
    static func removeAll() throws {
        let listed = try Command.run(["ip", "netns", "list"])
        for line in listed.split(separator: "\n") where line.hasPrefix(prefix) {
            try Command.run(["ip", "netns", "delete", String(line.prefix { $0 != " " })])
        }
    }
}
