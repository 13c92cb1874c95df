import BinarySupport
import Glibc
import NetworkNamespaces
import Testing

/// Tests that removed endpoints and Services keep their connections in IPVS, and take none from
/// others.
@Suite(.serialized, .timeLimit(.minutes(30))) struct DrainingTests {
    // kubernetes/kubernetes#57841, #99162, #84322
    @Test func `a removed endpoint drains, also across a restart`() throws {
        let node = try Node()
        try node.write([2])
        let pods = try [0, 1].map { try Stream.listening(node.pod($0), port: 8080) }
        var daemon = try node.daemon("ipvs")
        try daemon.wait(for: "synced")
        var client: Stream? = try Stream.connecting(node.client, "10.96.0.10", 80)
        let server = pods[0].accepted()
        #expect(client?.reaches(server) == true)
        try node.write([3])
        try daemon.wait { try node.ipvsadm().contains { $0.hasSuffix("10.244.1.2:8080 -m -w 0") } }
        #expect(client?.reaches(server) == true)
        let other = try #require(try Stream.connecting(node.client, "10.96.0.10", 80))
        let otherServer = pods[1].accepted()
        #expect(other.reaches(otherServer))
        let explained = try node.command([
            "explain", "10.96.0.10:80", "--mode", "ipvs", "--from", Node.clientAddress,
        ])
        .output
        for words in [
            "  IPVS: 10.244.1.2:8080 drains, connections: 1 active",
            "  IPVS: 10.244.1.3:8080, weight 1, connections: 1 active",
            "to 10.96.0.10:80/tcp: with 10.244.1.2:8080, which gets no new ones",
            "kernel: does this",
        ] { #expect(explained.contains(words), "\(explained)") }
        daemon.stop(SIGKILL)
        daemon = try node.daemon("ipvs")
        try daemon.wait(for: "synced", count: 2)
        #expect(client?.reaches(server) == true)
        #expect(try node.ipvsadm().contains { $0.hasSuffix("10.244.1.2:8080 -m -w 0") })
        // The endpoint comes back and regains its weight: kubernetes/kubernetes#81775.
        try node.write([2, 3])
        try daemon.wait { try node.ipvsadm().contains { $0.hasSuffix("10.244.1.2:8080 -m -w 1") } }
        #expect(client?.reaches(server) == true)
        try node.write([3])
        try daemon.wait { try node.ipvsadm().contains { $0.hasSuffix("10.244.1.2:8080 -m -w 0") } }
        client = nil
        // IPVS drops a connection that was ended with a reset.
        server.reset()
        daemon.stop()
    }

    @Test func `an SCTP association drains, too`() throws {
        let node = try Node()
        let ports = "{name: sctp, port: 9, protocol: SCTP}"
        try node.write([2], ports: ports, targets: ports)
        // With a single address, the client's socket sends to no other.
        let pod = try Stream.listening(
            node.pod(0),
            "10.244.1.2",
            port: 9,
            transport: IPPROTO_SCTP
        )
        let daemon = try node.daemon("ipvs")
        try daemon.wait(for: "synced")
        let client = try #require(
            try Stream.connecting(node.client, "10.96.0.10", 9, transport: IPPROTO_SCTP)
        )
        let server = pod.accepted()
        #expect(client.reaches(server) && server.reaches(client))
        try node.write([3], ports: ports, targets: ports)
        try daemon.wait(for: "scope=changes")
        #expect(try node.ipvsadm().contains { $0.hasSuffix("10.244.1.2:9 -m -w 0") })
        #expect(client.reaches(server) && server.reaches(client))
    }

    @Test func `draining has a deadline`() throws {
        let node = try Node()
        try node.write([2])
        let pod = try Stream.listening(node.pod(0), port: 8080)
        let daemon = try node.daemon("ipvs", ["--ipvs-drain-timeout", "2s"])
        try daemon.wait(for: "synced")
        let client = try #require(try Stream.connecting(node.client, "10.96.0.10", 80))
        #expect(client.reaches(pod.accepted()))
        try node.write([3])
        try daemon.wait { try !node.ipvsadm().contains { $0.contains("10.244.1.2") } }
        #expect(try node.ipvsadm().count == 2)
    }

    @Test func `an external address that is given up is its next owner's at once`() throws {
        let node = try Node()
        let address = "203.0.113.7"
        try node.write([2], spec: "externalIPs: [\(address)]")
        try node.pod(1).ip(["addr add \(address)/32 dev eth0"])
        try node.namespace.ip(["route add \(address) via 10.244.1.3"])
        let pod = try Stream.listening(node.pod(0), port: 8080)
        let owner = try Stream.listening(node.pod(1), port: 80)
        var daemon = try node.daemon("ipvs")
        try daemon.wait(for: "synced")
        var old = try Stream.connecting(node.client, address, 80)
        let server = pod.accepted()
        #expect(old?.reaches(server) == true)
        try node.write([2])
        try daemon.wait { try node.ipvsadm().contains { $0.hasSuffix("10.244.1.2:8080 -m -w 0") } }
        func check() throws {
            #expect(old?.reaches(server) == true)
            let new = try #require(try Stream.connecting(node.client, address, 80))
            let accepted = owner.accepted()
            #expect(new.reaches(accepted) && new.reaches(accepted))
            #expect(try node.command(["diff", "--mode", "ipvs"]).status == 0)
        }
        try check()
        daemon.stop(SIGKILL)
        daemon = try node.daemon("ipvs")
        try daemon.wait(for: "synced", count: 2)
        try check()
        old?.reset()
        old = nil
        try daemon.wait { try !node.ipvsadm().contains { $0.contains(address) } }
        let rest = {
            try node.namespace.run(["nft", "list", "set", "ip", "needletail", "draining"])
        }
        try daemon.wait { try !rest().contains(address) }
    }

    @Test func `a NodePort that is given up is the node's at once`() throws {
        let node = try Node()
        try node.write(
            [2],
            ports: "{name: http, port: 80, nodePort: 30080}",
            spec: "type: NodePort"
        )
        let pod = try Stream.listening(node.pod(0), port: 8080)
        let own = try Stream.listening(node.namespace, port: 30_080)
        var daemon = try node.daemon("ipvs")
        try daemon.wait(for: "synced")
        var old = try Stream.connecting(node.client, Node.address, 30_080)
        let server = pod.accepted()
        #expect(old?.reaches(server) == true)
        try node.write([2])
        let server30080 = "\(Node.address):30080"
        let passing = "-a -t \(server30080) -r \(server30080) -m -w 1"
        try daemon.wait { try node.ipvsadm().contains(passing) }
        var new: [(client: Stream, server: Stream)] = []
        for isRestarted in [false, true] {
            if isRestarted {
                daemon.stop(SIGKILL)
                daemon = try node.daemon("ipvs")
                try daemon.wait(for: "synced", count: 2)
            }
            for from in [node.client, node.namespace, try node.pod(1)] {
                let client = try #require(try Stream.connecting(from, Node.address, 30_080))
                new.append((client, own.accepted()))
            }
            #expect(old?.reaches(server) == true)
            #expect(new.allSatisfy { $0.client.reaches($0.server) && $0.server.reaches($0.client) })
            #expect(try node.command(["diff", "--mode", "ipvs"]).status == 0)
        }
        old?.reset()
        old = nil
        try daemon.wait { try !node.ipvsadm().contains { $0.contains(server30080) } }
        #expect(new.allSatisfy { $0.client.reaches($0.server) && $0.server.reaches($0.client) })
    }

    @Test func `the node itself reaches the next owner of an external address at once`() throws {
        let node = try Node()
        let address = "203.0.113.7"
        try node.write([2], spec: "externalIPs: [\(address)]")
        try node.pod(1).ip(["addr add \(address)/32 dev eth0"])
        try node.namespace.ip(["route add \(address) via 10.244.1.3"])
        let pod = try Stream.listening(node.pod(0), port: 8080)
        let owner = try Stream.listening(node.pod(1), port: 80)
        let daemon = try node.daemon("ipvs")
        try daemon.wait(for: "synced")
        let old = try #require(try Stream.connecting(node.namespace, address, 80))
        let server = pod.accepted()
        #expect(old.reaches(server))
        try node.write([2])
        try daemon.wait { try node.ipvsadm().contains { $0.hasSuffix("10.244.1.2:8080 -m -w 0") } }
        let new = try #require(try Stream.connecting(node.namespace, address, 80))
        let accepted = owner.accepted()
        #expect(new.reaches(accepted) && accepted.reaches(new))
        #expect(old.reaches(server) && server.reaches(old))
    }
}
