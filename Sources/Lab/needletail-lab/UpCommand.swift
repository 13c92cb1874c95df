internal import ArgumentParser
internal import Glibc

struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Build the demonstration's cluster and keep it until Ctrl-C, to look around."
    )

    @Option(help: "The kind of network between the pods.")
    var network = NetworkKind.bridge

    @Option(help: "The number of nodes, each with two pods.")
    var nodes = 3

    @Option(help: "The mode of the proxies: nftables or ipvs.")
    var mode = ProxyMode.nftables

    func validate() throws {
        guard 1...9 ~= nodes else { throw ValidationError("--nodes is a number from 1 to 9") }
    }

    func run() async throws {
        let cluster = try Cluster(
            nodeCount: nodes,
            pods: (1...2 * nodes).map { "web-\($0)" },
            network: network
        )
        let interrupts = onInterrupt { cluster.tearDown() }
        defer { withExtendedLifetime(interrupts) { cluster.tearDown() } }
        try cluster.startAPI()
        try await cluster.create(
            SampleServices(pods: cluster.topology.pods).objects,
            loadBalancers: SampleServices.loadBalancers
        )
        try cluster.startProxies(mode: mode)
        print(
            """
            The lab is up, with \(network.summary).
              nodes and pods:      needletail-lab status; namespaces \(Namespace.prefix)node1 … and \(Namespace.prefix)pod-web-1 …, \
            \(Namespace.prefix)client.
              the API server:      kubectl -s \(cluster.apiURL) -n shop get services
              its faults:          curl -d '{"kind": "drop"}' \(cluster.apiURL)/lab/faults
              a connection:        needletail-lab curl --from web-1 \(SampleServices.clusterIP):80
              the rules of a node: needletail-lab exec node1 nft list ruleset
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
