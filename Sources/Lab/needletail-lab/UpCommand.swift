internal import ArgumentParser
internal import Glibc

struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Build the demonstration's cluster and keep it until Ctrl-C, to look around."
    )

    func run() async throws {
        let cluster = try Cluster(nodeCount: 3, pods: (1...6).map { "web-\($0)" })
        let interrupts = onInterrupt { cluster.tearDown() }
        defer { withExtendedLifetime(interrupts) { cluster.tearDown() } }
        try cluster.startAPI()
        try await cluster.create(SampleServices(pods: cluster.topology.pods).objects)
        try cluster.startProxies()
        print(
            """
            The lab is up: namespaces \(Namespace.prefix)node1 … and \(Namespace.prefix)pod-web-1 …, \
            \(Namespace.prefix)client.
              the API server:      kubectl -s \(cluster.apiURL) -n shop get services
              its faults:          curl -d '{"kind": "drop"}' \(cluster.apiURL)/lab/faults
              the rules of a node: ip netns exec \(Namespace.prefix)node1 nft list ruleset
              the logs:            \(cluster.directory)/logs
            Ctrl-C takes it down.
            """
        )
        // Flushed at once, even if the output is a file or a pipe.
        fflush(nil)
        while true { try await Task.sleep(for: .seconds(3600)) }
    }
}

struct DownCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down",
        abstract: "Remove what a killed lab has left."
    )

    func run() throws { try Namespace.removeAll() }
}
