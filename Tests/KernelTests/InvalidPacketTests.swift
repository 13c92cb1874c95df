import Glibc
import NFTables
import NFTablesKernel
import NetworkNamespaces
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// Tests that an INVALID packet does not leave with the endpoint's own address.
///
/// The client would answer such a packet with a reset (kubernetes/kubernetes#74839).
@Suite struct InvalidPacketTests {
    enum Sender: CaseIterable { case endpoint, terminating, gone, serviceGone, stranger }

    @Test(arguments: Sender.allCases)
    func `an endpoint's invalid packet does not leave untranslated`(sender: Sender) async throws {
        let isEndpoint = sender != .stranger
        let table = try KernelTable()
        let (client, pod) = (try NetworkNamespace(), try NetworkNamespace())
        try connect(table.namespace, client, "10.1.0", pod, "10.244.1")
        let port: UInt16 = isEndpoint ? 8080 : 9999
        try await program(table, sender)

        // conntrack treats a SYN-ACK without a SYN as invalid.
        let receiver = try client.inside { try rawSocket() }
        defer { close(receiver) }
        try pod.inside { try sendSegment(from: port) }
        var limit = pollfd(fd: receiver, events: Int16(POLLIN), revents: 0)
        // The untranslated packet of a pod that is no endpoint arrives, since nothing asks us to
        // stop it.
        #expect(poll(&limit, 1, isEndpoint ? 300 : 2000) == (isEndpoint ? 0 : 1))
        let counters = try table.nft("list", "chain", "ip", "needletail", "invalid")
        let isThere = [.endpoint, .terminating].contains(sender)
        let expected = [
            ("service", isThere ? 1 : 0), ("former", isEndpoint && !isThere ? 1 : 0),
        ]
        for (set, count) in expected {
            #expect(
                counters.contains("@\(set)-endpoints counter packets \(count) "),
                "\(counters)"
            )
        }
    }

    /// Programs a Service, and lets its endpoint go as the sender says.
    private func program(_ table: KernelTable, _ sender: Sender) async throws {
        var plan = ServicePlan(
            service: "test/web",
            frontends: [
                Frontend(
                    key: FrontendKey(ip("10.96.0.10"), .tcp, 80),
                    kind: .clusterIP,
                    portName: "",
                    action: .balance(pool: 0),
                    masquerade: .nonPods
                )
            ],
            pools: [Pool([Endpoint(ip("10.244.1.2"), 8080, isLocal: true)])]
        )
        _ = try await table.client.commit(.everything([plan]), node: table.node)
        let endpoint = plan.pools[0].endpoints
        let other = [Endpoint(ip("10.244.1.9"), 8080, isLocal: true)]
        var next: ServicePlan? = plan
        switch sender {
        case .endpoint, .stranger: break
        case .terminating:
            plan.pools = [Pool(other, draining: endpoint)]
            next = plan
        case .gone:
            // The endpoint leaves, comes back and leaves again.
            for pool in [Pool(other), Pool(endpoint), Pool(other)] {
                plan.pools = [pool]
                _ = try await table.client.commit(.some([("test/web", plan)]), node: table.node)
            }
            next = plan
        case .serviceGone: next = nil
        }
        _ = try await table.client.commit(.some([("test/web", next)]), node: table.node)
        // A restart keeps the former endpoints.
        let restarted = try KernelTable.open(table.namespace)
        let report = try await restarted.commit(
            .everything(next.map { [$0] } ?? []),
            node: table.node
        )
        #expect(report.isEmpty)
    }

    /// Sends an answer that nobody has asked for.
    private func sendSegment(from port: UInt16) throws {
        let sender = try rawSocket()
        defer { close(sender) }
        let segment = synAck(from: ip("10.244.1.2"), port, to: ip("10.1.0.2"), 40000)
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        inet_pton(AF_INET, "10.1.0.2", &target.sin_addr)
        let sent = withUnsafePointer(to: &target) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(
                    sender,
                    segment,
                    segment.count,
                    0,
                    $0,
                    socklen_t(MemoryLayout<sockaddr_in>.size)
                )
            }
        }
        #expect(sent == segment.count)
    }

    private func connect(
        _ node: NetworkNamespace,
        _ left: NetworkNamespace,
        _ leftNet: String,
        _ right: NetworkNamespace,
        _ rightNet: String
    ) throws {
        for (name, peer, net) in [("left", left, leftNet), ("right", right, rightNet)] {
            // An unnamed namespace can only be named by a process in it, so the end to move is
            // created here.
            try peer.ip(["link set lo up"])
            try node.ip(["link add \(name) type veth peer name \(name)0"])
            try node.move("\(name)0", to: peer)
            try node.ip(["addr add \(net).1/24 dev \(name)", "link set \(name) up"])
            try peer.ip([
                "link set \(name)0 up", "addr add \(net).2/24 dev \(name)0",
                "route add default via \(net).1",
            ])
        }
        try node.setSysctl("net/ipv4/ip_forward", "1")
    }

    private func rawSocket() throws -> Int32 {
        let descriptor = socket(
            AF_INET,
            Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue),
            Int32(IPPROTO_TCP)
        )
        try #require(descriptor >= 0)
        return descriptor
    }

    /// Returns a TCP header without options, with its checksum.
    private func synAck(from: IPAddress, _ fromPort: UInt16, to: IPAddress, _ toPort: UInt16)
        -> [UInt8]
    {
        func words(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xFF)] }
        func segment(_ checksum: UInt16) -> [UInt8] {
            words(fromPort) + words(toPort) + [0, 0, 0, 9] + [0, 0, 0, 9] + [0x50, 0x12]
                + words(1024) + words(checksum) + [0, 0]
        }
        let bytes = from.networkOrderBytes + to.networkOrderBytes + [0, 6, 0, 20] + segment(0)
        var sum = stride(from: 0, to: bytes.count, by: 2).reduce(UInt32(0)) {
            $0 + UInt32(bytes[$1]) << 8 + UInt32(bytes[$1 + 1])
        }
        while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
        return segment(~UInt16(sum))
    }
}
