import Glibc
import ModelKernel
import ModelSupport
import NFTables
import NFTablesKernel
import NetworkNamespaces
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// The model's evaluator against the kernel: real packets, whose fate conntrack and sockets tell.
@Suite struct EvaluatorTests {
    /// A packet with the socket that sends it.
    private struct Flow {
        let packet: Packet
        let transport: TransportProtocol
        let descriptor: Int32
    }

    @Test(arguments: 0..<12 as Range<UInt64>)
    func `what happens to real packets is what the evaluator says`(seed: UInt64) async throws {
        let detection: LocalDetection = seed % 4 < 2 ? .podCIDRs : .none
        var cluster = try RandomCluster(seed: 400 + seed, detection, isAlone: true)
        let table = try KernelTable()
        let client = try NetworkNamespace()
        let packets = packets(&cluster)
        try connect(table.namespace, client, cluster, packets)
        _ = try await table.client.commit(
            .everything(Array(cluster.plans.values)),
            node: cluster.inputs
        )
        let flows = try packets.map { packet in
            try open(packet, packet.inputInterface == nil ? table.namespace : client)
        }
        defer { for flow in flows { close(flow.descriptor) } }
        let tracked = try tracked(table.namespace, cluster.family)
        let evaluator = Evaluator(cluster.kernel.ruleset, routing: routing(cluster.nodeAddress))
        for flow in flows {
            let outcome =
                tracked[
                    FrontendKey(
                        flow.packet.source,
                        flow.transport,
                        flow.packet.sourcePort
                    )
                ].map(Fate.delivered) ?? (isRefused(flow.descriptor) ? .rejected : .dropped)
            let possibilities = evaluator.possibilities(of: flow.packet)
            let isPossible = possibilities.contains { Fate($0.outcome) == outcome }
            #expect(isPossible, "\(flow.packet): \(outcome), not \(possibilities.map(\.outcome))")
        }
    }

    // MARK: Packets

    /// New connections of UDP and TCP, each with a port of its own.
    private func packets(_ cluster: inout RandomCluster) -> [Packet] {
        var packets: [Packet] = []
        let evaluator = cluster.evaluator
        while packets.count < 120 {
            var (packet, tracking) = cluster.packet()
            packet.sourcePort = UInt16(33_000 + packets.count)
            let isFromNode = packet.source == cluster.nodeAddress
            packet.inputInterface = isFromNode ? nil : "eth0"
            guard tracking == .new, packet.transport != TransportProtocol.sctp.rawValue,
                isFromNode || cluster.family == .ipv4
            else { continue }
            // A reset from a port where nobody listens takes conntrack's entry away.
            let mayAnswer =
                isFromNode
                || evaluator.possibilities(of: packet).contains {
                    if case .delivered(_, _, _, .input) = $0.outcome { true } else { false }
                }
            if mayAnswer, packet.transport == TransportProtocol.tcp.rawValue { continue }
            packets.append(packet)
        }
        // Clients cannot send out what is for another of them.
        let sources = Set(packets.map(\.source))
        return packets.filter {
            $0.inputInterface == nil || $0.destination == cluster.nodeAddress
                || !sources.contains($0.destination)
        }
    }

    private func routing(_ own: IPAddress) -> Routing {
        Routing(
            addressType: { $0 == own ? .local : .unicast },
            way: { $0.destination == own ? .input : .forward(interface: "world") },
            masqueradeAddress: { _ in own }
        )
    }

    /// What clients send goes on to a device whose other end takes nothing; answers find them.
    private func connect(
        _ node: NetworkNamespace,
        _ client: NetworkNamespace,
        _ cluster: RandomCluster,
        _ packets: [Packet]
    ) throws {
        let clients = Set(packets.filter { $0.inputInterface != nil }.map(\.source))
        let (own4, own6) = (RandomCluster.nodeAddresses[.ipv4], RandomCluster.nodeAddresses[.ipv6])
        guard let own4, let own6 else { return }
        try client.ip(["link set lo up"])
        try node.ip([
            "link add eth0 type veth peer name eth1", "link add world type veth peer name void",
        ])
        try node.move("eth1", to: client)
        try node.ip(
            [
                "addr add \(own4)/32 dev eth0", "addr add \(own6)/128 dev eth0 nodad",
                "link set eth0 up", "link set world arp off up", "link set void up",
                "route add 10.9.9.9 dev eth0",
                "route add default dev world", "route add ::/0 dev world",
                "route add default dev world table 100", "rule add iif eth0 lookup 100",
            ] + clients.map { "route add \($0) via 10.9.9.9" }
        )
        try client.ip(
            [
                "addr add 10.9.9.9/32 dev eth1", "link set eth1 up", "route add \(own4) dev eth1",
                "route add default via \(own4)",
            ] + clients.map { "addr add \($0)/32 dev lo" }
        )
        for (name, value) in [
            ("net/ipv4/ip_forward", "1"), ("net/ipv4/icmp_ratelimit", "0"),
            ("net/ipv6/icmp/ratelimit", "0"), ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/eth0/rp_filter", "0"),
        ] {
            try node.setSysctl(name, value)
        }
    }

    /// Sends the first packet of a connection.
    private func open(_ packet: Packet, _ namespace: NetworkNamespace) throws -> Flow {
        let isTCP = packet.transport == TransportProtocol.tcp.rawValue
        let descriptor = try namespace.inside {
            let kind = isTCP ? SOCK_STREAM : SOCK_DGRAM
            return socket(
                packet.family == .ipv4 ? AF_INET : AF_INET6,
                Int32(kind.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue),
                0
            )
        }
        let isBound = withAddress(packet.source, packet.sourcePort) { bind(descriptor, $0, $1) }
        try #require(isBound == 0, "\(packet): \(errno)")
        let status = withAddress(packet.destination, packet.destinationPort) {
            Glibc.connect(descriptor, $0, $1)
        }
        try #require(status == 0 || [EINPROGRESS, ECONNREFUSED, EPERM].contains(errno))
        if !isTCP { send(descriptor, "x", 1, 0) }
        return Flow(packet: packet, transport: isTCP ? .tcp : .udp, descriptor: descriptor)
    }

    // MARK: What became of them

    /// As far as it can be seen from outside.
    private enum Fate: Equatable {
        case delivered(Tracked)
        case rejected, dropped

        init?(_ outcome: Outcome) {
            switch outcome {
            case .delivered(let address, let port, let isMasqueraded, _):
                self = .delivered(.init(address, port, isMasqueraded: isMasqueraded))
            case .rejected: self = .rejected
            case .dropped: self = .dropped
            case .unroutable, .undecided: return nil
            }
        }
    }

    private struct Tracked: Equatable {
        let address: IPAddress
        let port: UInt16
        let isMasqueraded: Bool

        init(_ address: IPAddress, _ port: UInt16, isMasqueraded: Bool) {
            (self.address, self.port, self.isMasqueraded) = (address, port, isMasqueraded)
        }
    }

    /// Conntrack's entries, by client: only packets that no rule has stopped leave one.
    private func tracked(
        _ namespace: NetworkNamespace,
        _ family: IPFamily
    ) throws -> [FrontendKey: Tracked] {
        let name = family == .ipv4 ? "ipv4" : "ipv6"
        // It says how many there are on its other output, in the middle of a line.
        let list = "conntrack -L -f \(name) 2>/dev/null"
        let lines = try namespace.run(["sh", "-c", list]).split(separator: "\n")
        var entries: [FrontendKey: Tracked] = [:]
        for line in lines {
            let words = line.split(separator: " ")
            let values = { (key: String) in
                words.filter { $0.hasPrefix("\(key)=") }.map { $0.dropFirst(key.count + 1) }
            }
            let addresses = (values("src") + values("dst")).compactMap { IPAddress($0) }
            let ports = (values("sport") + values("dport")).compactMap { UInt16($0) }
            guard addresses.count == 4, ports.count == 4,
                let transport = TransportProtocol(kubernetesName: words[0].uppercased())
            else { continue }
            entries[FrontendKey(addresses[0], transport, ports[0])] = Tracked(
                addresses[1],
                ports[1],
                isMasqueraded: addresses[3] != addresses[0] || ports[3] != ports[0]
            )
        }
        return entries
    }

    private func isRefused(_ descriptor: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: 0, revents: 0)
        guard poll(&entry, 1, 20) == 1 else { return false }
        var (code, length) = (Int32(0), socklen_t(4))
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
        return code == ECONNREFUSED
    }
}
