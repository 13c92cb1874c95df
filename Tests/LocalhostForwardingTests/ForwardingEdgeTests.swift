import BinarySupport
import Glibc
import LocalhostForwarding
import NetworkTypes
import ServicePlan
import Testing

/// Tests of a forwarder with its thread: unusual traffic, and its end.
@Suite(.timeLimit(.minutes(30))) struct ForwardingEdgeTests {
    private func dns(
        _ endpoint: String = "10.244.1.5",
        host: String = "127.0.0.1",
        number: UInt16 = 30053
    ) -> ForwardedPort {
        ForwarderBench.port([endpoint], transport: .udp, host: host, number: number, target: 53)
    }

    @Test(arguments: [("127.0.0.1", "10.244.1.5"), ("::1", "fd00:1::5")])
    func `empty datagrams and the largest ones pass whole, both ways`(
        host: String,
        endpoint: String
    ) throws {
        let bench = try ForwarderBench()
        try bench.serve([dns(endpoint, host: host)])
        let server = try DatagramSocket(bench.namespace, endpoint, port: 53)
        let client = try DatagramSocket(bench.namespace, host)
        for size in [0, 1, 1500, 65_507] {
            let question = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            #expect(client.send(question, to: host))
            // The test library takes minutes to describe how two such arrays differ.
            #expect(server.receive()?.elementsEqual(question) == true, "\(size)")
            #expect(server.reply(question.reversed()))
            #expect(client.receive()?.elementsEqual(question.reversed()) == true, "\(size)")
        }
        #expect(bench.forwarder.statistics.opened[.udp] == 1)
    }

    @Test func `answers in any order, and late ones, go to who asked`() throws {
        let bench = try ForwarderBench()
        try bench.serve([dns()])
        let server = try DatagramSocket(bench.namespace, "10.244.1.5", port: 53)
        let clients = try (0..<40).map { _ in try DatagramSocket(bench.namespace, "127.0.0.1") }
        // The server sees each client at an address of its own, and answers it on its next visit.
        for round in UInt8(0)..<3 {
            for (number, client) in clients.enumerated().shuffled() {
                #expect(client.send([UInt8(number), round], to: "127.0.0.1"))
                let question = try #require(server.receive())
                for copy in UInt8(0)..<2 { #expect(server.reply(question + [copy])) }
            }
        }
        for (number, client) in clients.enumerated().shuffled() {
            for round in UInt8(0)..<3 {
                for copy in UInt8(0)..<2 {
                    #expect(client.receive() == [UInt8(number), round, copy])
                }
            }
            #expect(client.receive(MSG_DONTWAIT) == nil)
        }
    }

    @Test func `a port that goes takes its UDP clients along, and no others`() throws {
        let bench = try ForwarderBench()
        let ports = [dns(), dns(number: 30054)]
        try bench.serve(ports)
        let server = try DatagramSocket(bench.namespace, "10.244.1.5", port: 53)
        let client = try DatagramSocket(bench.namespace, "127.0.0.1")
        for port in ports {
            #expect(client.send([1], to: "127.0.0.1", port.key.port))
            #expect(server.receive() == [1])
        }
        #expect(bench.forwarder.statistics.open[.udp] == 2)
        try bench.serve([ports[1]])
        try bench.wait { $0.open[.udp] == 1 }
        #expect(server.reply([2]), "to the second port")
        #expect(client.receive() == [2])
        #expect(bench.forwarder.statistics.opened[.udp] == 2)
    }

    @Test func `a UDP port of another program is not shared with it`() throws {
        let bench = try ForwarderBench()
        let other = try DatagramSocket(bench.namespace, "127.0.0.1", port: 30053)
        try bench.serve([dns()], listeners: 0)
        try bench.wait { $0.listenFailures[.ipv4] == 1 }
        let note = bench.notes.all.withLock(\.first)
        #expect(note?.contains("127.0.0.1:30053/udp") == true, "\(note ?? "")")
        #expect(note?.contains("another program listens there") == true, "\(note ?? "")")
        let client = try DatagramSocket(bench.namespace, "127.0.0.1")
        #expect(client.send([5], to: "127.0.0.1"))
        #expect(other.receive() == [5])
    }

    @Test(arguments: [("127.0.0.1", "10.244.1.5"), ("::1", "fd00:1::5")])
    func `an endpoint that sends much and ends is heard to its last byte`(
        host: String,
        endpoint: String
    ) throws {
        let bench = try ForwarderBench()
        let listener = try Stream.listening(bench.namespace, endpoint, port: 8080)
        try bench.serve([ForwarderBench.port([endpoint], host: host)])
        let client = try #require(try bench.connect(host))
        let server = listener.accepted()
        // This is more than the kernel's buffers hold, so data waits in the forwarder.
        let sent = (0..<12_000_003).map { UInt8(truncatingIfNeeded: $0 &* 13 / 7) }
        var (offset, received) = (0, [UInt8]())
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            if offset < sent.count {
                let count = sent[offset...].withUnsafeBytes {
                    send(server.descriptor, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
                }
                if count > 0 { offset += count }
                if offset == sent.count { shutdown(server.descriptor, Int32(SHUT_WR)) }
            }
            let count = recv(client.descriptor, &buffer, buffer.count, 0)
            guard count > 0 else {
                #expect(count == 0, "\(errno)")
                break
            }
            received += buffer[..<count]
        }
        #expect(received.elementsEqual(sent))
        #expect(client.reaches(server), "the other direction goes on")
        #expect(bench.forwarder.statistics.open[.tcp] == 1)
    }

    @Test func `stopping closes everything for good`() throws {
        let bench = try ForwarderBench()
        let server = try EchoServer(bench.namespace, port: 8080)
        let ports = [ForwarderBench.port(["10.244.1.5"]), dns()]
        try bench.serve(ports)
        let client = try #require(try bench.connect())
        #expect(client.echoes)
        #expect(try DatagramSocket(bench.namespace, "127.0.0.1").send([1], to: "127.0.0.1"))
        try bench.wait { $0.opened == [.tcp: 1, .udp: 1] }
        bench.forwarder.stop()
        bench.forwarder.stop()
        try bench.wait { $0.listeners == [.ipv4: 0] && $0.open == [.tcp: 0, .udp: 0] }
        try bench.namespace.inside { bench.forwarder.update(["shop/web": ports]) }
        // A program that another test is just starting may hold the socket for a moment.
        let deadline = ContinuousClock.now + .seconds(10)
        var last = try bench.connect()
        while last != nil, .now < deadline { last = try bench.connect() }
        #expect(last == nil && bench.forwarder.statistics.listeners == [.ipv4: 0])
        withExtendedLifetime(server) {}
    }
}
