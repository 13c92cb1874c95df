@testable import IPVS
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

@Suite struct ServerOperationTests {
    private let key = FrontendKey(ip("10.96.0.1"), .tcp, 80)

    private func server(_ scheduler: String, _ flags: VirtualServer.Flags = .ours) -> VirtualServer
    {
        VirtualServer(
            key: key,
            scheduler: scheduler,
            flags: flags,
            destinations: [1, 2].map { Destination(ip("10.244.1.\($0)"), 8080) }
        )
    }

    // include/uapi/linux/ip_vs.h: IP_VS_SVC_F_SCHED1 and so on; IP_VS_SVC_F_SCHED_SH_PORT and
    // IP_VS_SVC_F_SCHED_MH_PORT are the second of them.
    @Test func `scheduler flags are the kernel's bits and ipvsadm's names`() {
        #expect(VirtualServer.Flags.schedulerFlag1.rawValue == 0x0008)
        #expect(VirtualServer.Flags.usesPort.rawValue == 0x0010)
        #expect(VirtualServer.Flags.ours.rawValue == 0x0020)
        let all: VirtualServer.Flags = [.schedulerFlag1, .usesPort, .ours]
        #expect(IPVSText.line(server("sh", all)).hasSuffix("-b sh-fallback,sh-port,flag-3"))
        #expect(IPVSText.line(server("wlc", all)).hasSuffix("-b flag-1,flag-2,flag-3"))
        #expect(IPVSText.line(server("rr", [])) == "-A -t 10.96.0.1:80 -s rr")
    }

    @Test func `a server comes before its destinations, and has none by itself`() {
        let operations = server("rr").creation(BalancingDefaults())
        #expect(operations.first == .add(server("rr").attributes))
        #expect(
            operations.dropFirst()
                == server("rr").destinations.map { .addDestination($0, to: key) }[...]
        )
        #expect(server("rr").attributes.destinations.isEmpty)
    }

    @Test func `Maglev begins with a scheduler that this kernel has`() {
        var defaults = BalancingDefaults(scheduler: "wrr")
        defaults.refusals.schedulers = ["rr"]
        let maglev = server("mh", [.ours, .usesPort])
        let operations = maglev.creation(defaults)
        #expect(operations.first == .add(server("wrr").attributes))
        #expect(operations.last == .set(maglev.attributes))
    }

    // They are what a log says has failed.
    @Test func `an operation says what it does to which object`() {
        let destination = Destination(ip("fd00::1"), 80, weight: 3)
        let operations: [ServerOperation] = [
            .add(server("rr")), .set(server("wrr")), .remove(key),
            .addDestination(destination, to: key), .setDestination(destination, of: key),
            .removeDestination(destination.id, of: key),
        ]
        #expect(
            operations.map(\.description) == [
                "adding virtual server 10.96.0.1:80/tcp (rr)",
                "changing virtual server 10.96.0.1:80/tcp (wrr)",
                "removing virtual server 10.96.0.1:80/tcp",
                "adding destination [fd00::1]:80 to virtual server 10.96.0.1:80/tcp",
                "giving destination [fd00::1]:80 of virtual server 10.96.0.1:80/tcp weight 3",
                "removing destination [fd00::1]:80 of virtual server 10.96.0.1:80/tcp",
            ]
        )
        #expect(operations.map(\.isRemoval) == [false, false, true, false, false, false])
        #expect(operations.allSatisfy { $0.key == key })
    }

    @Test func `a Service's scheduler, weights and affinity are its servers'`() {
        var plan = plan([1, 2], draining: [3], affinity: 600)
        plan.scheduler = "wlc"
        plan.weights = [ip("10.244.1.2"): 9]
        let servers = plan.virtualServers(BalancingDefaults())
        #expect(
            IPVSText.lines(servers) == [
                "-A -t 10.96.0.1:80 -s wlc -p 600 -b flag-3",
                "-a -t 10.96.0.1:80 -r 10.244.1.1:8080 -m -w 1",
                "-a -t 10.96.0.1:80 -r 10.244.1.2:8080 -m -w 9",
                "-a -t 10.96.0.1:80 -r 10.244.1.3:8080 -m -w 0",
            ]
        )
    }

    @Test func `only those clients who have no other way get a server of a split frontend`() {
        var plan = plan([1])
        plan.pools.append(Pool([Endpoint(ip("10.244.1.9"), 8080, isLocal: true)]))
        plan.frontends[0].action = .split(cluster: 0, local: 1)
        #expect(
            plan.virtualServers(BalancingDefaults()).flatMap(\.destinations).map(\.address)
                == [ip("10.244.1.9")]
        )
        plan.frontends[0].action = .split(cluster: 0, local: nil)
        #expect(plan.virtualServers(BalancingDefaults()).isEmpty)
    }

    @Test func `a server of another program is left alone`() {
        var defaults = BalancingDefaults()
        defaults.refusals.servers = [key]
        #expect(plan([1]).virtualServers(defaults).isEmpty)
        var table = ServerTable(defaults, drainTimeout: 900)
        #expect(table.apply([("shop/web", plan([1]))], now: 0).isEmpty)
        #expect(table.apply([("shop/web", nil)], now: 1).isEmpty)
    }
}

@Suite struct ConnectionListPropertyTests {
    /// net/netfilter/ipvs/ip_vs_conn.c: ip_vs_conn_seq_show.
    private func line(_ connection: InheritedConnection) -> String {
        let hexadecimal = { (value: UInt64, width: Int) in
            let digits = String(value, radix: 16, uppercase: true)
            return String(repeating: "0", count: width - digits.count) + digits
        }
        let address = { (address: IPAddress) in
            if address.family == .ipv4 { return hexadecimal(address.low, 8) }
            return [address.high, address.low].flatMap { word in
                [48, 32, 16, 0].map { hexadecimal(word >> UInt64($0) & 0xFFFF, 4).lowercased() }
            }.joined(separator: ":")
        }
        let (client, frontend) = (connection.client, connection.frontend)
        return [
            frontend.transport == .tcp ? "TCP" : "SCTP", address(client.address),
            hexadecimal(UInt64(client.port), 4), address(frontend.address),
            hexadecimal(UInt64(frontend.port), 4), address(client.address), "1F90",
            "ESTABLISHED", "    899",
        ].joined(separator: " ")
    }

    private func address(_ isWide: Bool, _ random: inout Seeded) -> IPAddress {
        isWide
            ? IPAddress(ipv6High: random.next() | 1 << 61, low: random.next())
            : IPAddress(ipv4: UInt32.random(in: 1 ... .max, using: &random))
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func `any list is read whole`(seed: UInt64) {
        var random = Seeded(seed)
        var connections: Set<InheritedConnection> = []
        for _ in 0..<100 {
            let isWide = Bool.random(using: &random)
            connections.insert(
                InheritedConnection(
                    AddressAndPort(
                        address(isWide, &random),
                        UInt16.random(in: 1 ... .max, using: &random)
                    ),
                    FrontendKey(
                        address(isWide, &random),
                        Bool.random(using: &random) ? .tcp : .sctp,
                        UInt16.random(in: 0 ... .max, using: &random)
                    )
                )
            )
        }
        let text = connections.map(line).joined(separator: "\n")
        #expect(ConnectionList.connections(in: Array(text.utf8)) == connections)
        // The last line may be cut off anywhere.
        for length in [text.utf8.count - 1, text.utf8.count / 2, 10, 0] {
            let part = ConnectionList.connections(in: Array(text.utf8.prefix(length)))
            #expect(part.count >= text.utf8.prefix(length).split(separator: 10).count - 1)
        }
    }

    @Test(
        arguments: [
            "ICMP C0000209 4E20 0A60000A 0050 0AF40102 1F90 X 9",
            "TCP C0000209 14E20 0A60000A 0050 0AF40102 1F90 X 9",
            "TCP C000020G 4E20 0A60000A 0050 0AF40102 1F90 X 9",
            "TCP C0000209 4E20 0A6000 0050 0AF40102 1F90 X 9",
            "TCP C0000209 4E20 0A60000A -050 0AF40102 1F90 X 9",
            "TCP C0000209 4E20 0A60000A 0050",
        ]
    )
    func `a line that is none is passed over`(line: String) {
        #expect(ConnectionList.connections(in: Array(line.utf8)).isEmpty)
    }
}
