internal import ArgumentParser
internal import FoundationEssentials
internal import Glibc
internal import NetworkTypes

struct DrawCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "draw",
        abstract: "Build each kind of network, and draw the way of a packet to a Service on it.",
        discussion: """
            The pictures are drawn from what the interfaces have seen: web-1 connects to a Service \
            whose endpoint is on the last node.
            """
    )

    @Option(help: "A kind to draw; may be repeated. Default: all.")
    var network: [NetworkKind] = []

    @Argument(help: "The folder for the pictures, KIND.svg.")
    var folder: String

    func run() async throws {
        try FileManager.default.createDirectory(
            atPath: folder,
            withIntermediateDirectories: true
        )
        for kind in network.isEmpty ? NetworkKind.allCases : network {
            if let lack = kind.lack {
                print("\(kind.rawValue): left out, \(lack)")
                continue
            }
            let way = try await way(on: kind)
            let first = way.everything.filter(\.packet.isFirst)
            let picture = WayPicture("\(kind.rawValue): \(kind.summary)", first)
            try Data(picture.svg.utf8).write(to: URL(filePath: "\(folder)/\(kind.rawValue).svg"))
            print("\(kind.rawValue): \(first.count) hops")
            fflush(nil)
        }
    }

    private func way(on kind: NetworkKind) async throws -> PacketWay {
        try await NetworkRun(kind: kind, mode: .nftables, nodeCount: 3).inside {
            cluster,
            services in
            try NetworkChecks(cluster, services, .ipv4, .nftables).waitUntilProgrammed()
            let topology = try LiveTopology()
            let target = services.far[services.far.count - 1].clusterIP(.ipv4)
            return try PacketWay(from: topology.place("web-1"), to: "\(target):80", in: topology)
        }
    }
}
