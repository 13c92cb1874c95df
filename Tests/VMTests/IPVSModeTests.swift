import BinarySupport
import FoundationEssentials
import Glibc
import NetworkNamespaces
import Testing

/// The connections that go through the changes of the mode; `make prove-switch` opens more.
private let connections =
    ProcessInfo.processInfo.environment["NEEDLETAIL_CONNECTIONS"].flatMap(Int.init) ?? 10_000
/// In minutes: an emulated machine opens a few thousand connections in one.
private let limit = 30 + connections / 1000

/// Tests of mode ipvs on a kernel that supports it; ipvsadm is the oracle.
@Suite(.serialized, .timeLimit(.minutes(limit))) struct IPVSModeTests {
    /// A Service with every kind of frontend, protocol and endpoint.
    private static let everything =
        """
        apiVersion: v1
        kind: Service
        metadata: {name: all, namespace: shop, annotations: {ipvs.needletail.io/weights: "10.244.1.2=5"}}
        spec:
          type: NodePort
          clusterIP: 10.96.0.20
          clusterIPs: [10.96.0.20, "fd96::20"]
          externalIPs: [203.0.113.7]
          sessionAffinity: ClientIP
          ports:
          - {name: http, port: 80, nodePort: 30080}
          - {name: dns, port: 53, protocol: UDP, nodePort: 30053}
          - {name: sctp, port: 9, protocol: SCTP, nodePort: 30009}
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata: {name: a4, namespace: shop, labels: {kubernetes.io/service-name: all}}
        addressType: IPv4
        ports: [{name: http, port: 8080}, {name: dns, port: 5353, protocol: UDP}, {name: sctp, port: 9, protocol: SCTP}]
        endpoints: [{addresses: [10.244.1.2]}, {addresses: [10.244.1.3]}, {addresses: [10.244.1.4], conditions: {ready: false, serving: true, terminating: true}}]
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata: {name: a6, namespace: shop, labels: {kubernetes.io/service-name: all}}
        addressType: IPv6
        ports: [{name: http, port: 8080}, {name: dns, port: 5353, protocol: UDP}, {name: sctp, port: 9, protocol: SCTP}]
        endpoints: [{addresses: ["fd44::2"]}]

        """

    @Test func `ipvsadm sees what is rendered, and a second run changes nothing`() throws {
        let node = try Node()
        try node.folder.write(Self.everything, to: "all.yaml")
        let schedulers = ["rr", "wlc", "sh", "mh", "ovf"]
        for scheduler in schedulers {
            let flag = ["--ipvs-scheduler", scheduler]
            let first = try node.once("ipvs", flag)
            #expect(first.status == 0, "\(first.output)")
            let rendered = try node.command(["render", "-o", "ipvs", "--mode", "ipvs"] + flag)
            let seen = try node.ipvsadm()
            // ipvsadm does not print flag 3 for schedulers whose other flags have names.
            let isHash = ["sh", "mh"].contains(scheduler)
            #expect(
                seen
                    == rendered.output.sortedLines.map { line in
                        isHash ? line.replacing(/,?flag-3$/, with: "") : line
                    }
            )
            #expect(seen.count { $0.hasPrefix("-A") } == 15)
            #expect(seen.contains { $0.hasSuffix("-r 10.244.1.4:8080 -m -w 0") })
            #expect(try node.command(["diff", "--mode", "ipvs"] + flag).status == 0)
        }
        #expect(try node.addresses().contains("10.96.0.20/32 fd96::20/128"))
        // An external address may belong to others, so only packets to its frontends are taken.
        #expect(try !node.addresses().contains("203.0.113.7"))
        // The saved output of ipvsadm loads again, and leads to the same state.
        let saved = try node.namespace.run(["ipvsadm", "-Sn"])
        try node.namespace.run(["ipvsadm", "-C"])
        try node.namespace.run(["ipvsadm", "-R"], input: saved)
        #expect(
            try node.command([
                "diff", "--mode", "ipvs", "--ipvs-scheduler", schedulers.last ?? "",
            ]).status == 0
        )
    }

    // kubernetes/kubernetes#55857, #109286
    @Test func `what others made is left alone`() throws {
        let node = try Node()
        try node.write([2])
        try node.namespace.run(["ipvsadm", "-A", "-t", "192.0.2.1:443", "-s", "wlc"])
        try node.namespace.run([
            "ipvsadm", "-a", "-t", "192.0.2.1:443", "-r", "192.0.2.50:443", "-g",
        ])
        try node.namespace.run(["ipvsadm", "-A", "-f", "7", "-s", "rr"])
        let foreign = try node.ipvsadm()
        #expect(try node.once("ipvs").status == 0)
        #expect(try Set(node.ipvsadm()).isSuperset(of: foreign))
        let cleanup = try Binary.run(["cleanup"], in: node.namespace)
        #expect(cleanup.status == 0, "\(cleanup.output)")
        #expect(try node.ipvsadm() == foreign)
        #expect(try node.namespace.run(["nft", "list", "ruleset"]) == "")
        #expect(throws: CommandError.self) { try node.addresses() }
        #expect(try !node.namespace.run(["ip", "rule"]).contains("10256"))
        #expect(try !node.namespace.run(["ip", "-6", "rule"]).contains("10256"))
    }

    // kubernetes/kubernetes#93175, #127410, #117613
    @Test func `an externalIP that is the node's own address cuts nobody off`() throws {
        let node = try Node()
        try node.write([2], spec: "externalIPs: [\(Node.address), 203.0.113.7]")
        #expect(try node.once("ipvs", ["--node-addresses-as-external-ips"]).status == 0)
        #expect(try !node.addresses().contains(Node.address))
        let ssh = try Stream.listening(node.namespace, port: 22)
        let pod = try Stream.listening(node.pod(0), port: 8080)
        let login = try #require(try Stream.connecting(node.client, Node.address, 22))
        #expect(login.reaches(ssh.accepted()))
        let web = try #require(try Stream.connecting(node.client, Node.address, 80))
        #expect(web.reaches(pod.accepted()))
        // kubernetes/kubernetes#72236: nothing of the host answers on other virtual addresses,
        // though.
        #expect(try Stream.connecting(node.client, "203.0.113.7", 80) != nil)
        #expect(try Stream.connecting(node.client, "203.0.113.7", 22, limit: 5) == nil)
        #expect(try Stream.connecting(node.namespace, "10.96.0.10", 22, limit: 5) == nil)
    }

    // kubernetes/kubernetes#65158, #63985
    @Test func `the host's own processes reach a cluster IP`() throws {
        let node = try Node()
        try node.write([2])
        #expect(try node.once("ipvs").status == 0)
        let pod = try Stream.listening(node.pod(0), port: 8080)
        let connection = try #require(try Stream.connecting(node.namespace, "10.96.0.10", 80))
        #expect(connection.reaches(pod.accepted()))
    }

    @Test func `modes are switched without breaking a connection`() throws {
        let node = try Node()
        try node.write([2], spec: "type: NodePort, externalIPs: [203.0.113.7]")
        let pod = try Stream.listening(node.pod(0), port: 8080)
        var connections: [(Stream, Stream)] = []
        func connect() throws {
            for (namespace, host) in [
                (node.client, "10.96.0.10"), (node.client, "203.0.113.7"),
                (node.namespace, "10.96.0.10"), (try node.pod(1), "10.96.0.10"),
            ] {
                for _ in 0..<5 {
                    let stream = try #require(
                        try Stream.connecting(namespace, host, 80),
                        "\(host) refuses"
                    )
                    connections.append((stream, pod.accepted()))
                }
            }
            #expect(connections.allSatisfy { $0.reaches($1) && $1.reaches($0) })
        }
        var daemon: Daemon?
        var syncs = 0
        for mode in ["nftables", "ipvs", "nftables", "ipvs"] {
            daemon?.stop()
            daemon = try node.daemon(mode)
            syncs += 1
            try daemon?.wait(for: "mode=\(mode)", count: (syncs + 1) / 2)
            try daemon?.wait(for: "scope=everything", count: syncs)
            try connect()
        }
        // The remains of mode ipvs go with their last connection.
        daemon?.stop()
        daemon = try node.daemon("nftables")
        try daemon?.wait(for: "scope=everything", count: syncs + 1)
        #expect(connections.allSatisfy { $0.reaches($1) && $1.reaches($0) })
        #expect(try !node.ipvsadm().isEmpty)
        for (client, server) in connections {
            server.reset()
            client.reset()
        }
        connections = []
        try daemon?.wait(for: "nothing of mode ipvs is left")
        #expect(try node.ipvsadm().isEmpty)
        #expect(throws: CommandError.self) { try node.addresses() }
        try connect()
    }

    @Test func `what is lost of IPVS comes back`() throws {
        let node = try Node()
        try node.write([2])
        let daemon = try node.daemon("ipvs", ["--ipvs-sync-period", "1s"])
        try daemon.wait(for: "synced")
        let before = try node.ipvsadm()
        try node.namespace.run(["ipvsadm", "-C"])
        try node.namespace.ip(["addr del 10.96.0.10/32 dev kube-ipvs0"])
        try daemon.wait {
            try node.ipvsadm() == before && node.addresses().contains("10.96.0.10")
        }
    }

    @Test func `sysctls are set, and a bad annotation is told`() throws {
        let node = try Node()
        try node.write([2], annotations: "ipvs.needletail.io/scheduler: fastest")
        let result = try node.once("ipvs", ["--ipvs-strict-arp", "--ipvs-tcp-timeout", "15m"])
        #expect(result.output.contains("sysctl net.ipv4.vs.conntrack was 0, is 1 now"))
        #expect(result.output.contains("\"fastest\" is not one of IPVS's schedulers"))
        #expect(try node.namespace.run(["ipvsadm", "-Ln", "--timeout"]).contains(": 900 "))
        let arp = try node.namespace.run(["cat", "/proc/sys/net/ipv4/conf/all/arp_ignore"])
        #expect(arp == "1\n")
    }

    @Test func `IPVS's own counts are the metrics`() throws {
        let node = try Node()
        try node.write([2])
        let pod = try Stream.listening(node.pod(0), port: 8080)
        let daemon = try node.daemon("ipvs", ["--service-metrics", "5"])
        try daemon.wait(for: "synced")
        for _ in 0..<3 {
            let client = try #require(try Stream.connecting(node.client, "10.96.0.10", 80))
            #expect(client.reaches(pod.accepted()))
        }
        let line = "needletail_service_connections_total{namespace=\"shop\",service=\"web\"} 3\n"
        // The kernel sums up its counters every two seconds.
        try daemon.wait {
            try HTTPProbe.get("/metrics", port: 10249, in: node.namespace)?.body.contains(line)
                == true
        }
        let counted = try node.namespace.run(["ipvsadm", "-Ln", "--stats", "--exact"])
        #expect(counted.contains("10.96.0.10:80"))
    }

    @Test func `an address that is taken from the device comes back at once`() throws {
        let node = try Node()
        try node.write([2])
        // There is no full sync for an hour, so only the notification can report the change.
        let daemon = try node.daemon("ipvs", ["--ipvs-sync-period", "1h"])
        try daemon.wait(for: "synced")
        for command in ["addr del 10.96.0.10/32 dev kube-ipvs0", "link del kube-ipvs0"] {
            try node.namespace.ip([command])
            try daemon.wait { (try? node.addresses())?.contains("10.96.0.10") == true }
        }
        #expect(daemon.output.contains("another program changed needletail's addresses"))
    }

    @Test func `kube-proxy's servers, device and sets are taken over in mode nftables`() throws {
        let node = try Node()
        try node.write(
            [2],
            ports: "{name: http, port: 80, nodePort: 30080}",
            spec: "type: NodePort"
        )
        let pod = try Stream.listening(node.pod(0), port: 8080)
        try node.namespace.ip([
            "link add kube-ipvs0 type dummy", "addr add 10.96.0.10/32 dev kube-ipvs0",
        ])
        for server in ["10.96.0.10:80", "\(Node.address):30080"] {
            try node.namespace.run(["ipvsadm", "-A", "-t", server, "-s", "rr"])
            try node.namespace.run(["ipvsadm", "-a", "-t", server, "-r", "10.244.1.2:8080", "-m"])
        }
        try node.namespace.run(["ipvsadm", "-A", "-t", "198.51.100.1:443", "-s", "wlc"])
        for set in ["KUBE-CLUSTER-IP", "KUBE-6-CLUSTER-IP", "KUBE-OTHERS"] {
            try node.namespace.run(["ipset", "create", set, "hash:ip,port"])
        }
        // A set remains for as long as a rule refers to it.
        for rule in [
            "-N KUBE-SERVICES", "-A PREROUTING -j KUBE-SERVICES",
            "-A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN",
        ] {
            try node.namespace.run(
                ["iptables-legacy", "-t", "nat"] + rule.split(separator: " ").map(String.init)
            )
        }
        let daemon = try node.daemon("nftables")
        try daemon.wait(for: "nothing of mode ipvs is left")
        #expect(try node.ipvsadm() == ["-A -t 198.51.100.1:443 -s wlc"])
        try daemon.wait {
            try node.namespace.run(["ipset", "list", "-n"]).sortedLines == ["KUBE-OTHERS"]
        }
        #expect(try !node.namespace.run(["iptables-legacy-save"]).contains("KUBE-"))
        for (host, port): (String, UInt16) in [("10.96.0.10", 80), (Node.address, 30080)] {
            let client = try #require(try Stream.connecting(node.client, host, port))
            #expect(client.reaches(pod.accepted()))
        }
    }

    @Test(arguments: ["nftables", "ipvs"])
    func `preflight tells what kube-proxy's mode ipvs has left, and touches nothing`(
        mode: String
    ) throws {
        let node = try Node()
        try node.write([2])
        try node.namespace.ip([
            "link add kube-ipvs0 type dummy", "addr add 10.96.0.10/32 dev kube-ipvs0",
        ])
        try node.namespace.run(["ipvsadm", "-A", "-t", "10.96.0.10:80", "-s", "rr"])
        let answer = try node.command(["preflight", "--mode", mode])
        #expect(answer.status == 0, "\(answer.output)")
        #expect(
            answer.output.contains("ok       kube-proxy  has left "),
            "\(answer.output)"
        )
        #expect(answer.output.contains("takes all rules and sets of mode \(mode) "))
        #expect(try node.ipvsadm() == ["-A -t 10.96.0.10:80 -s rr"])
        #expect(try node.addresses().contains("10.96.0.10/32"))
    }

    @Test func `connections pass from kube-proxy's mode ipvs through ours and back`() throws {
        let share = connections / 7
        let node = try Node()
        try node.write([2, 3])
        let servers = try [0, 1].map { try EchoServer(node.pod($0), port: 8080) }
        try node.namespace.ip([
            "link add kube-ipvs0 type dummy", "addr add 10.96.0.10/32 dev kube-ipvs0",
        ])
        try node.namespace.setSysctl("net/ipv4/vs/conntrack", "1")
        // Such rules exist in practice, and make conntrack see everything.
        try node.namespace.run(
            ["nft", "-f", "-"],
            input: """
                table ip nat {
                    chain KUBE-POSTROUTING { meta mark 0x4000 masquerade; }
                    chain POSTROUTING {
                        type nat hook postrouting priority 100;
                        jump KUBE-POSTROUTING
                    }
                }

                """
        )
        try node.namespace.run(["ipvsadm", "-A", "-t", "10.96.0.10:80", "-s", "rr"])
        try node.namespace.run([
            "ipvsadm", "-a", "-t", "10.96.0.10:80", "-r", "10.244.1.2:8080", "-m",
        ])
        let traffic = try Traffic(from: node.client, to: "10.96.0.10", 80, lasting: 1000)
        defer { traffic.end() }
        try traffic.wait(forMore: 500)
        var daemon: Daemon?
        for (round, mode) in ["nftables", "ipvs", "ipvs", "nftables", "ipvs"].enumerated() {
            traffic.enter("before \(mode) \(round)")
            daemon?.stop(round.isMultiple(of: 2) ? SIGKILL : SIGTERM)
            try traffic.wait(forMore: 200)
            traffic.enter("to \(mode) \(round)")
            daemon = try node.daemon(mode)
            try daemon?.wait(for: "scope=everything", count: round + 1)
            traffic.enter("in \(mode) \(round)")
            try traffic.wait(forMore: share)
            #expect(traffic.broken == 0, "round \(round)")
        }
        try traffic.wait(forMore: max(100, connections - traffic.opened))
        traffic.end()
        #expect(traffic.failures.isEmpty, "\(traffic.failures)")
        #expect(traffic.broken == 0, "\(traffic.broken) broken")
        print(
            "\(traffic.opened) connections opened without a pause, \(traffic.failures.count) failed;"
                + " 1000 kept open, \(traffic.broken) broken"
        )
        withExtendedLifetime(servers) {}
    }
}
