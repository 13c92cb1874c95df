internal import ArgumentParser
internal import Glibc
internal import NetworkNamespaces
internal import NetworkTypes

/// What `up` has built, read from its namespaces.
struct LiveTopology {
    struct Place {
        /// The name without the lab's prefix: `node1`, `pod-web-1`, `client`.
        let name: String
        let namespace: Namespace
        /// The interfaces with their addresses, one line each.
        let interfaces: [String]
        let addresses: [IPAddress]
    }

    let places: [Place]

    init() throws {
        let listed = try Command.run(["ip", "netns", "list"]).split(separator: "\n")
        let names = listed.map { String($0.prefix { $0 != " " }) }
            .filter { $0.hasPrefix(Namespace.prefix) }
            .map { String($0.dropFirst(Namespace.prefix.count)) }
        guard !names.isEmpty else { throw LabError("no lab is up; needletail-lab up builds one") }
        places = try names.sorted().map(Self.place)
    }

    private static func place(_ name: String) throws -> Place {
        let namespace = Namespace(name)
        let lines = try namespace.handle.run(["ip", "-br", "addr", "show"])
            .split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
            .filter { $0.count > 1 && $0[0] != "lo" && !$0[0].hasPrefix("tunl0") }
        let words = lines.flatMap { $0.dropFirst(2) }
        return Place(
            name: name,
            namespace: namespace,
            interfaces: lines.map { words in
                let addresses = words.dropFirst(2).filter { !$0.hasPrefix("fe80:") }
                let name = String(words[0].prefix { $0 != "@" })
                return addresses.isEmpty
                    ? name : ([name.padded(15)] + addresses).joined(separator: " ")
            },
            addresses: words.compactMap { IPAddress(String($0.prefix { $0 != "/" })) }
        )
    }

    /// Returns a place by its name; a pod's prefix may be left out.
    func place(_ name: String) throws -> Place {
        guard let place = places.first(where: { $0.name == name || $0.name == "pod-\(name)" })
        else {
            let names = places.map(\.name).joined(separator: ", ")
            throw LabError("the lab has no \(name), only \(names)")
        }
        return place
    }

    /// The nodes, each with its pods, and then the others.
    var text: String {
        let pods = places.filter { $0.name.hasPrefix("pod-") }
        let nodes = places.filter { $0.name.hasPrefix("node") }
        var lines: [String] = []
        for node in nodes {
            lines.append(node.name)
            lines += node.interfaces.map { "  \($0)" }
            for pod in pods where Self.isOn(node, pod) {
                lines.append("  \(pod.name)")
                lines += pod.interfaces.map { "    \($0)" }
            }
        }
        for place in places where !pods.contains(where: { $0.name == place.name }) {
            guard !nodes.contains(where: { $0.name == place.name }) else { continue }
            lines.append(place.name)
            lines += place.interfaces.map { "  \($0)" }
        }
        return lines.joined(separator: "\n")
    }

    /// A pod's address 10.244.N.x tells its node.
    private static func isOn(_ node: Place, _ pod: Place) -> Bool {
        let index = node.name.dropFirst("node".count)
        return pod.addresses.contains { "\($0)".hasPrefix("10.244.\(index).") }
    }
}

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the nodes and pods of the lab that is up, with their interfaces."
    )

    func run() throws { print(try LiveTopology().text) }
}

struct ExecCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec",
        abstract: "Run a command in a node, a pod or the client of the lab that is up."
    )

    @Argument(help: "node1, web-1, client, …")
    var place: String

    @Argument(parsing: .captureForPassthrough, help: "The command and its arguments.")
    var command: [String]

    func run() throws {
        let place = try LiveTopology().place(place)
        let words = command.first == "--" ? Array(command.dropFirst()) : command
        guard let program = words.first else { throw ValidationError("there is no command") }
        try place.namespace.inside {
            var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
            defer { for argument in arguments { free(argument) } }
            execvp(program, &arguments)
            throw LabError("\(program): \(String(cString: strerror(errno)))")
        }
    }
}

struct CurlCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "curl",
        abstract: "Connect to a Service of the lab that is up; who answered, and whom it saw."
    )

    @Option(help: "Where the connection begins: node1, web-1, client, …")
    var from = "client"

    @Option(help: "The number of connections.")
    var count = 1

    @Flag(help: "Send datagrams instead.")
    var udp = false

    @Option(help: "The name of the server, in a request to a URL. Default: its address.")
    var host: String?

    @Argument(
        help: "An address and a port, 10.96.0.10:80 or [fd96::10]:80; or http://10.96.0.10/path."
    )
    var target: String

    func run() throws {
        let place = try LiveTopology().place(from)
        let target = try LabTarget(target, udp ? .udp : .tcp)
        for _ in 0..<max(1, count) { print(try target.send(from: place.namespace, host: host)) }
    }
}
