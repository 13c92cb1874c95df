import BinarySupport
import LocalhostForwarding
import NetworkNamespaces
import NetworkTypes
import ServicePlan
import Testing

@Suite(.timeLimit(.minutes(30))) struct DatagramTests {
    private func port(_ endpoints: [String], host: String = "127.0.0.1") -> ForwardedPort {
        ForwarderBench.port(endpoints, transport: .udp, host: host, number: 30053, target: 53)
    }

    @Test func `UDP is forwarded in both families, and answered from the port`() throws {
        let bench = try ForwarderBench()
        try bench.serve([port(["10.244.1.5"]), port(["fd00:1::5"], host: "::1")])
        for (host, endpoint) in [("127.0.0.1", "10.244.1.5"), ("::1", "fd00:1::5")] {
            let server = try UDPSocket(bench.namespace, endpoint, port: 53)
            let client = try UDPSocket(bench.namespace, host, port: 40_000)
            // The socket is connected, so it receives from this address only.
            #expect(client.reaches(server, by: host, 30053), "\(host)")
        }
        #expect(bench.forwarder.statistics.open[.udp] == 2)
    }

    @Test func `clients keep their endpoint as long as it is one`() throws {
        let bench = try ForwarderBench()
        let servers = try ["10.244.1.5", "10.244.1.6"].map {
            try UDPSocket(bench.namespace, $0, port: 53)
        }
        let client = try UDPSocket(bench.namespace, "127.0.0.1", port: 40_000)
        try bench.serve([port(["10.244.1.5"])])
        #expect(client.reaches(servers[0], by: "127.0.0.1", 30053))
        try bench.serve([port(["10.244.1.5", "10.244.1.6"])])
        for _ in 0..<5 { #expect(client.reaches(servers[0], by: "127.0.0.1", 30053)) }
        #expect(bench.forwarder.statistics.opened[.udp] == 1)
        try bench.serve([port(["10.244.1.6"])])
        try bench.wait { $0.open[.udp] == 0 }
        #expect(client.reaches(servers[1], by: "127.0.0.1", 30053))
    }

    @Test func `an endpoint that refuses is forgotten`() throws {
        let bench = try ForwarderBench()
        let client = try UDPSocket(bench.namespace, "127.0.0.1", port: 40_000)
        let other = try UDPSocket(bench.namespace, "10.244.1.6", port: 54)
        try bench.serve([port(["10.244.1.5"])])
        #expect(!client.reaches(other, by: "127.0.0.1", 30053))
        try bench.wait { $0.failures[.endpoint] ?? 0 > 0 && $0.open[.udp] == 0 }
    }

    @Test func `who was quiet longest makes way`() throws {
        var limits = LocalhostForwarder.Limits()
        limits.sessions = 2
        let bench = try ForwarderBench(limits)
        let server = try UDPSocket(bench.namespace, "10.244.1.5", port: 53)
        try bench.serve([port(["10.244.1.5"])])
        for number in UInt16(0)..<4 {
            let client = try UDPSocket(bench.namespace, "127.0.0.1", port: 40_000 + number)
            #expect(client.reaches(server, by: "127.0.0.1", 30053))
        }
        let statistics = bench.forwarder.statistics
        #expect(statistics.open[.udp] == 2 && statistics.opened[.udp] == 4)
        #expect(statistics.failures[.limit] == 2)
    }
}
