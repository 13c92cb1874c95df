internal import ArgumentParser
internal import Glibc

struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Build the demonstration's cluster and keep it until Ctrl-C, to look around."
    )

    @Option(help: "A file that describes the lab (docs/networks.md). Default: the demonstration's.")
    var from: String?

    @Option(help: "The kind of network between the pods. Default: bridge.")
    var network: NetworkKind?

    @Option(help: "The number of nodes, each with two pods. Default: 3.")
    var nodes: Int?

    @Option(help: "The mode of the proxies: nftables or ipvs. Default: nftables.")
    var mode: ProxyMode?

    func validate() throws {
        guard let nodes, !(1...ClusterLayout.mostNodes ~= nodes) else { return }
        throw ValidationError("--nodes is a number from 1 to \(ClusterLayout.mostNodes)")
    }

    func run() async throws {
        let flags = LabDescription.Flags(network: network, nodes: nodes, mode: mode)
        let description =
            try from.map { try LabFileReader.description(from: $0, flags) }
            ?? LabDescription(flags)
        if description.layout.ingress != nil, let lack = IngressServer.lack {
            throw LabError("ingress: \(lack)")
        }
        let cluster = try Cluster(description.layout, network: description.network)
        let interrupts = onInterrupt { cluster.tearDown() }
        defer { withExtendedLifetime(interrupts) { cluster.tearDown() } }
        do {
            try cluster.startAPI()
            try await cluster.create(
                description.objects(cluster.topology.everyPod),
                loadBalancers: description.loadBalancers
            )
            try cluster.startProxies(mode: description.mode)
            if cluster.topology.ingress != nil { try cluster.startIngress(description.ingress) }
        } catch {
            print("The lab is not complete: \(error)\n\(cluster.logs)")
            throw ExitCode.failure
        }
        for object in description.services.leftOut { print("left out: \(object)") }
        print(text(of: description, cluster))
        // Flushed at once, even if the output is a file or a pipe.
        fflush(nil)
        while true { try await Task.sleep(for: .seconds(3600)) }
    }

    private func text(of description: LabDescription, _ cluster: Cluster) -> String {
        let node = description.layout.nodes[0]
        let place = cluster.topology.pods.first?.name ?? node
        let target = description.example ?? "ADDRESS:PORT"
        return """
            The lab is up, with \(description.network.summary).
              what there is:       needletail-lab status
              a connection:        needletail-lab curl --from \(place) \(target)
              its way:             needletail-lab capture --from \(place) \(target)
              the rules of a node: needletail-lab exec \(node) nft list ruleset
              the API server:      kubectl -s \(cluster.apiURL) get services -A
              its faults:          curl -d '{"kind": "drop"}' \(cluster.apiURL)/lab/faults
              the logs:            \(cluster.directory)/logs
            Ctrl-C takes it down.
            """
    }
}

struct DownCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down",
        abstract: "Remove what a killed lab has left."
    )

    func run() throws { try Namespace.removeAll() }
}
