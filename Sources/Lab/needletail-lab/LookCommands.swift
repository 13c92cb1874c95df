internal import ArgumentParser
internal import Glibc
internal import NetworkNamespaces
internal import NetworkTypes

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the lab that is up: nodes, pods and their interfaces, and Services."
    )

    func run() throws {
        let topology = try LiveTopology()
        print(try topology.text)
        print(try LiveServices(topology).text)
    }
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
