internal import NetworkNamespaces

/// A named network namespace of a lab.
struct Namespace: Sendable, Hashable {
    /// The beginning of all names that a lab creates.
    static let prefix = "nlab-"

    let name: String

    init(_ name: String) { self.name = Self.prefix + name }

    func create() throws { try Command.run(["ip", "netns", "add", name]) }

    func inside<T>(_ body: () throws -> T) throws -> T { try handle.inside(body) }
    func ip(_ commands: [String]) throws { try handle.ip(commands) }
    func setSysctl(_ name: String, _ value: String) throws { try handle.setSysctl(name, value) }

    var handle: NetworkNamespace {
        get throws { try NetworkNamespace(named: name) }
    }

    /// Removes every namespace of a lab, including those left by a lab that was killed.
    static func removeAll() throws {
        let listed = try Command.run(["ip", "netns", "list"])
        for line in listed.split(separator: "\n") where line.hasPrefix(prefix) {
            try Command.run(["ip", "netns", "delete", String(line.prefix { $0 != " " })])
        }
    }
}
