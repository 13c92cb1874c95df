internal import Dispatch
internal import FoundationEssentials
internal import Glibc
internal import NetworkTypes

/// A running lab: namespaces, pods that answer, and needletail on each node.
final class Cluster: Sendable {
    let topology: Topology
    let directory: String
    private let servers: [PodServer]
    private let daemons = Daemons()

    init(nodeCount: Int, pods: [String]) throws {
        guard geteuid() == 0 else {
            throw LabError("network namespaces need root; run it with sudo")
        }
        try Namespace.removeAll()
        topology = Topology(nodeCount: nodeCount, podNames: pods)
        directory = FileManager.default.temporaryDirectory.path() + "needletail-lab-\(getpid())"
        do {
            for folder in ["manifests", "logs"] {
                try FileManager.default.createDirectory(
                    atPath: "\(directory)/\(folder)",
                    withIntermediateDirectories: true
                )
            }
            try topology.build()
            servers = try topology.pods.map {
                try PodServer($0, port: SampleServices.podPort, udpPort: SampleServices.podUDPPort)
            }
        } catch {
            try? Namespace.removeAll()
            try? FileManager.default.removeItem(atPath: directory)
            throw error
        }
    }

    /// Replaces the manifests in one step, so that nobody reads half of them.
    func apply(_ yaml: String) throws {
        let file = "\(directory)/manifests/services.yaml"
        try yaml.write(toFile: "\(file).partial", atomically: false, encoding: .utf8)
        guard rename("\(file).partial", file) == 0 else {
            throw LabError("\(file) cannot be replaced")
        }
    }

    func startProxies() throws {
        try daemons.start(
            topology.nodes,
            binary: try Self.needletail(),
            manifests: "\(directory)/manifests",
            logs: "\(directory)/logs"
        )
    }

    /// The needletail that was built beside this program.
    private static func needletail() throws -> String {
        guard let own = realpath("/proc/self/exe", nil) else { throw LabError("/proc is missing") }
        defer { free(own) }
        let path = String(cString: own).split(separator: "/").dropLast().map { "/\($0)" }.joined()
        return "\(path)/needletail"
    }

    /// What the proxies logged, for a failure.
    var logs: String {
        topology.nodes.map { node in
            let text = try? String(
                contentsOfFile: "\(directory)/logs/\(node.name).log",
                encoding: .utf8
            )
            return "\(node.name):\n\(text ?? "")"
        }.joined(separator: "\n")
    }

    /// Removes everything; may be called twice.
    func tearDown() {
        daemons.stop()
        for server in servers { server.stop() }
        try? Namespace.removeAll()
        try? FileManager.default.removeItem(atPath: directory)
    }
}

/// Calls the closure when the process is told to stop, then ends the process.
func onInterrupt(_ body: @escaping @Sendable () -> Void) -> [any DispatchSourceSignal] {
    [SIGINT, SIGTERM, SIGHUP].map { number in
        signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
        source.setEventHandler {
            body()
            exit(128 + number)
        }
        source.activate()
        return source
    }
}
