internal import ArgumentParser
internal import FoundationEssentials
internal import Glibc
internal import NetworkTypes

struct CaptureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "capture",
        abstract: "Open one connection in the lab that is up, and show it at every hop.",
        discussion: """
            The first packet and the answer to it are shown, in the order in which interfaces \
            have seen them. "in" is what an interface has received, "out" what it sends.
            """
    )

    @Option(help: "Where the connection begins: node1, web-1, client, …")
    var from = "client"

    @Option(help: "A file for all its packets, in the format pcapng.")
    var write: String?

    @Argument(
        help: "An address and a port, 10.96.0.10:80 or [fd96::10]:80; or http://10.96.0.10/path."
    )
    var target: String

    func run() throws {
        let topology = try LiveTopology()
        let way = try PacketWay(from: topology.place(from), to: target, in: topology)
        print(way.text)
        if let write {
            try Data(CaptureFile(way.everything).bytes).write(to: URL(filePath: write))
        }
    }
}

/// The way of one connection's first packet, and of the answer to it.
struct PacketWay {
    /// What came of the connection.
    let outcome: String
    /// All packets of connections meanwhile.
    let everything: [Sighting]

    init(from place: LiveTopology.Place, to target: String, in topology: LiveTopology) throws {
        let target = try LabTarget(target)
        let capture = try Capture(topology.places)
        outcome = try target.send(from: place.namespace)
        // The ends have seen all there is, since the answer has arrived or the patience has ended.
        everything = try capture.sightings().filter { sighting in
            !sighting.packet.layers.contains { layer in
                layer.ports.map { $0.0 == Topology.apiPort || $0.1 == Topology.apiPort } ?? false
            }
        }
    }

    var text: String {
        let first = everything.filter(\.packet.isFirst)
        let answer = everything.filter(\.packet.isAnswer)
        return (first.map(Self.line) + [""] + answer.map(Self.line) + ["", outcome])
            .joined(separator: "\n")
    }

    private static func line(_ sighting: Sighting) -> String {
        let direction = sighting.isOutgoing ? "out" : "in"
        return sighting.place.padded(12) + sighting.interface.padded(14) + direction.padded(5)
            + sighting.packet.text
    }
}

extension FrontendKey {
    /// Reads an argument such as `10.96.0.10:80` or `[fd96::10]:80`.
    init(labArgument text: String, _ transport: TransportProtocol = .tcp) throws {
        guard let colon = text.lastIndex(of: ":"),
            let port = UInt16(text[text.index(after: colon)...]),
            let address = IPAddress(text[..<colon].filter { $0 != "[" && $0 != "]" })
        else { throw ValidationError("\(text) is no address with a port") }
        self.init(address, transport, port)
    }
}
