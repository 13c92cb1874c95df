import BinarySupport
import Glibc
import NetworkNamespaces
import Testing

/// Tests for bugs reported for kube-proxy's mode ipvs (kubernetes/kubernetes).
@Suite(.serialized, .timeLimit(.minutes(30))) struct KnownBugTests {
    // #93456, #75262, #71596
    @Test func `external policy Local is for those outside, and has no fallback`() throws {
        let node = try Node()
        let spec = "type: LoadBalancer, externalTrafficPolicy: Local, externalIPs: [203.0.113.7]"
        try node.write([2, 3], spec: spec, elsewhere: [3])
        let pods = try [0, 1].map { try Stream.listening(node.pod($0), port: 8080) }
        let daemon = try node.daemon("ipvs")
        try daemon.wait(for: "synced")
        for _ in 0..<4 {
            let outside = try #require(try Stream.connecting(node.client, "203.0.113.7", 80))
            #expect(outside.reaches(pods[0].accepted()))
        }
        // Only the other endpoint is left, and it is listed as being on another node.
        try node.write([3], spec: spec, elsewhere: [3])
        try daemon.wait(for: "synced", count: 2)
        for namespace in [node.namespace, try node.pod(0)] {
            let inside = try #require(try Stream.connecting(namespace, "203.0.113.7", 80))
            #expect(inside.reaches(pods[1].accepted()))
        }
        #expect(try Stream.connecting(node.client, "203.0.113.7", 80, limit: 1) == nil)
    }

    // #139276: tested with each of the ports that masquerading may choose.
    @Test func `a masqueraded port may be a NodePort`() throws {
        let node = try Node()
        let ports = (512...1023).map { "{name: p\($0), port: \($0), nodePort: \($0)}" }
        try node.write(
            [2],
            ports: "{name: http, port: 80}, " + ports.joined(separator: ", "),
            spec: "type: NodePort",
            targets: (["http"] + (512...1023).map { "p\($0)" })
                .map { "{name: \($0), port: 8080}" }.joined(separator: ", ")
        )
        #expect(try node.once("ipvs").status == 0)
        #expect(try node.ipvsadm().contains { $0.contains("-t \(Node.address):777 ") })
        let pod = try Stream.listening(node.pod(0), port: 8080)
        for port: UInt16 in 900..<908 {
            // A source port from 512 on is masqueraded as one from 600 to 1023.
            let own = try Stream.connecting(node.namespace, "10.96.0.10", 80, from: port)
            #expect(try #require(own).reaches(pod.accepted()))
        }
    }

    // #85422, #60305, #61938
    @Test func `a hostPort takes nothing from the cluster IPs`() throws {
        let node = try Node()
        try node.write([2])
        // These are the rules of the portmap plugin.
        try node.namespace.run(
            ["nft", "-f", "-"],
            input: """
                table ip cni_hostport {
                    chain prerouting {
                        type nat hook prerouting priority dstnat;
                        fib daddr type local tcp dport 80 dnat to 10.244.1.3:8081
                    }
                    chain output {
                        type nat hook output priority -100;
                        fib daddr type local tcp dport 80 dnat to 10.244.1.3:8081
                    }
                }

                """
        )
        #expect(try node.once("ipvs").status == 0)
        let web = try Stream.listening(node.pod(0), port: 8080)
        let ingress = try Stream.listening(node.pod(1), port: 8081)
        let host = try #require(try Stream.connecting(node.client, Node.address, 80))
        #expect(host.reaches(ingress.accepted()))
        for namespace in [node.client, node.namespace, try node.pod(1)] {
            let service = try #require(try Stream.connecting(namespace, "10.96.0.10", 80))
            #expect(service.reaches(web.accepted()))
        }
    }

    // #88698, #119656
    @Test func `source ranges hold for everyone`() throws {
        let node = try Node()
        let spec = "type: LoadBalancer, loadBalancerSourceRanges: "
        let pod = try Stream.listening(node.pod(0), port: 8080)
        for (ranges, isAllowed) in [
            ("[\(Node.clientAddress)/32]", true), ("[198.51.100.0/24]", false),
        ] {
            try node.write([2], spec: spec + ranges, ingress: "{ip: 203.0.113.8}")
            #expect(try node.once("ipvs").status == 0)
            let connection = try Stream.connecting(node.client, "203.0.113.8", 80, limit: 1)
            #expect(connection.map { $0.reaches(pod.accepted()) } == (isAllowed ? true : nil))
            // The ranges apply to the load balancer only.
            let other = try #require(try Stream.connecting(node.client, "10.96.0.10", 80))
            #expect(other.reaches(pod.accepted()))
        }
    }

    // #72098, #92412
    @Test func `NodePorts answer over IPv6`() throws {
        let node = try Node()
        try node.folder.write(
            """
            apiVersion: v1
            kind: Service
            metadata: {name: web, namespace: shop}
            spec:
              type: NodePort
              clusterIP: fd96::10
              clusterIPs: [fd96::10]
              ports: [{name: http, port: 80, nodePort: 30080}]
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
            addressType: IPv6
            ports: [{name: http, port: 8080}]
            endpoints: [{addresses: ["fd00:1::2"], nodeName: here}]

            """,
            to: "web.yaml"
        )
        #expect(try node.once("ipvs").status == 0)
        let pod = try Stream.listening(node.pod(0), port: 8080)
        for (namespace, host, port): (_, _, UInt16) in [
            (node.client, Node.address6, 30080), (try node.pod(1), Node.address6, 30080),
            (node.namespace, Node.address6, 30080), (node.client, "fd96::10", 80),
            (node.namespace, "fd96::10", 80),
        ] {
            let connection = try #require(try Stream.connecting(namespace, host, port))
            #expect(connection.reaches(pod.accepted()))
        }
    }

    // #71071
    @Test func `hundreds of changes later nothing has piled up`() throws {
        let node = try Node()
        try node.write([2])
        let daemon = try node.daemon("ipvs")
        try daemon.wait(for: "synced")
        func descriptors() throws -> Int {
            try Command.run(["ls", "/proc/\(daemon.child)/fd"]).sortedLines.count
        }
        let before = try descriptors()
        for round in 1...200 {
            try node.write(round.isMultiple(of: 2) ? [2] : [3])
            try daemon.wait(for: "synced", count: round + 1)
        }
        #expect(try descriptors() == before)
        let pod = try Stream.listening(node.pod(0), port: 8080)
        let connection = try #require(try Stream.connecting(node.client, "10.96.0.10", 80))
        #expect(connection.reaches(pod.accepted()))
    }

    // #133773
    @Test func `without the rules nothing becomes reachable`() throws {
        let node = try Node()
        try node.write([2])
        // A table with an owner cannot be changed by any other program.
        let owner = try node.namespace.run([
            "sh", "-c",
            """
            { { echo 'add table ip needletail { flags owner; }'; sleep 60; } | nft -i; } \\
                >/dev/null 2>&1 &
            echo $!
            """,
        ])
        let child = try #require(Int32(owner.filter(\.isNumber)))
        defer { kill(child, SIGKILL) }
        let deadline = ContinuousClock.now + .seconds(20)
        while try !node.namespace.run(["nft", "list", "tables"]).contains("needletail") {
            try #require(.now < deadline)
            usleep(5000)
        }
        let result = try node.once("ipvs")
        #expect(result.status == 1, "\(result.output)")
        #expect(try node.ipvsadm().isEmpty)
        #expect((try? node.addresses())?.contains("10.96.0.10") != true)
    }

    // #89358: the time is counted from the last connection's end, as IPVS does.
    @Test func `ClientIP affinity lasts`() throws {
        let node = try Node()
        try node.write(
            [2, 3],
            spec:
                "sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}"
        )
        #expect(try node.once("ipvs").status == 0)
        let pods = try [0, 1].map { try Stream.listening(node.pod($0), port: 8080) }
        var chosen: Set<Int> = []
        for _ in 0..<6 {
            let client = try #require(try Stream.connecting(node.client, "10.96.0.10", 80))
            var ready = pods.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
            poll(&ready, 2, 10_000)
            let index = try #require(ready.firstIndex { $0.revents != 0 })
            #expect(client.reaches(pods[index].accepted()))
            chosen.insert(index)
        }
        #expect(chosen.count == 1)
    }

    // #90042: IPVS keeps the client's port, so that the endpoint sees one connection.
    @Test func `a client uses one port for a cluster IP and its endpoint`() throws {
        let node = try Node()
        try node.write([2])
        #expect(try node.once("ipvs").status == 0)
        let pod = try Stream.listening(node.pod(0), port: 8080)
        for namespace in [node.namespace, node.client] {
            let direct = try #require(
                try Stream.connecting(namespace, "10.244.1.2", 8080, from: 45678)
            )
            let directServer = pod.accepted()
            let service = try #require(
                try Stream.connecting(namespace, "10.96.0.10", 80, from: 45678, limit: 3)
            )
            #expect(service.reaches(pod.accepted()))
            #expect(direct.reaches(directServer))
            service.reset()
            direct.reset()
        }
    }
}
