import BinarySupport
import Glibc
import NetworkNamespaces
import Testing

/// Tests of mode ipvs against harm by a tenant, another program or the node itself.
@Suite(.serialized, .timeLimit(.minutes(30))) struct HostileTests {
    private func service(
        _ name: String,
        _ clusterIP: String,
        endpoints: [String],
        spec: String = "",
        annotations: String = ""
    ) -> String {
        let isIPv6 = clusterIP.contains(":")
        let list = endpoints.map { "{addresses: [\"\($0)\"], nodeName: here}" }
        return """
            apiVersion: v1
            kind: Service
            metadata: {name: \(name), namespace: shop, annotations: {\(annotations)}}
            spec:
              clusterIP: "\(clusterIP)"
              ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}, {name: sctp, port: 9, protocol: SCTP}]
              \(spec)
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: \(name)-1, namespace: shop, labels: {kubernetes.io/service-name: \(name)}}
            addressType: IPv\(isIPv6 ? 6 : 4)
            ports: [{name: http, port: 8080}, {name: dns, port: 5353, protocol: UDP}, {name: sctp, port: 9, protocol: SCTP}]
            endpoints: [\(list.joined(separator: ", "))]

            """
    }

    @Test func `what nobody serves is refused at once, whoever asks`() throws {
        let node = try Node()
        try node.folder.write(
            service("four", "10.96.0.10", endpoints: [], spec: "externalIPs: [203.0.113.7]"),
            to: "four.yaml"
        )
        try node.folder.write(
            service("six", "fd96::10", endpoints: [], spec: "externalIPs: [\"fd00:203::7\"]"),
            to: "six.yaml"
        )
        #expect(try node.once("ipvs").status == 0)
        try node.namespace.ip(["route add default via fd00:192::9"])
        // Redirects and refusals share one rate limit per client.
        try node.namespace.setSysctl("net/ipv4/icmp_ratelimit", "0")
        try node.namespace.setSysctl("net/ipv6/icmp/ratelimit", "0")
        for (from, place) in [
            (node.client, "client"), (node.namespace, "node"), (try node.pod(0), "pod"),
        ] {
            for host in ["203.0.113.7", "fd00:203::7", "10.96.0.10"] {
                let socket = try UDPSocket(from, host.contains(":") ? "::" : "0.0.0.0", port: 0)
                #expect(socket.isRefused(by: host, 53), "\(host) from the \(place)")
                let start = ContinuousClock.now
                #expect(try Stream.connecting(from, host, 80, limit: 5) == nil)
                #expect(.now - start < .seconds(5), "\(host) from the \(place)")
            }
        }
    }

    @Test func `what one Service asks for in vain holds up no other`() throws {
        let node = try Node()
        try node.folder.write(
            service(
                "bad",
                "10.96.0.1",
                // The broadcast address of the node's network cannot be a destination, and Debian's
                // kernel lacks this scheduler.
                endpoints: ["192.0.2.255", "10.244.1.3"],
                annotations: "ipvs.needletail.io/scheduler: twos"
            ),
            to: "bad.yaml"
        )
        try node.write([2])
        let pod = try Stream.listening(node.pod(0), port: 8080)
        let other = try Stream.listening(node.pod(1), port: 8080)
        let daemon = try node.daemon("ipvs", ["--ipvs-sync-period", "1s"])
        try daemon.wait(for: "synced")
        try daemon.wait(for: "this kernel has no scheduler twos, which Service shop/bad asks for")
        try daemon.wait(for: "endpoint 192.0.2.255 of Service shop/bad is left out")
        for (host, listener) in [("10.96.0.10", pod), ("10.96.0.1", other)] {
            let client = try #require(try Stream.connecting(node.client, host, 80))
            #expect(client.reaches(listener.accepted()))
        }
        #expect(try node.ipvsadm().contains("-A -t 10.96.0.1:80 -s rr -b flag-3"))
        // A change of this Service does not take the address of another, either.
        try node.folder.write(
            service("worse", "10.96.0.2", endpoints: ["10.244.1.255"]),
            to: "worse.yaml"
        )
        try daemon.wait(for: "endpoint 10.244.1.255 of Service shop/worse is left out")
        try node.write([3])
        try daemon.wait { try node.ipvsadm().contains { $0.hasSuffix("10.244.1.3:8080 -m -w 1") } }
        #expect(!daemon.output.contains("sync failed"), "\(daemon.output)")
    }

    @Test func `a virtual server of another program is not taken`() throws {
        let node = try Node()
        let server = "203.0.113.7:80"
        try node.namespace.run(["ipvsadm", "-A", "-t", server, "-s", "wlc"])
        try node.namespace.run(["ipvsadm", "-a", "-t", server, "-r", "192.0.2.9:80", "-m"])
        let foreign = try node.ipvsadm()
        try node.write([2], spec: "externalIPs: [203.0.113.7]")
        let daemon = try node.daemon("ipvs", ["--ipvs-sync-period", "1s"])
        try daemon.wait(for: "virtual server \(server)/tcp belongs to another program")
        try daemon.wait(for: "synced")
        #expect(try Set(node.ipvsadm()).isSuperset(of: foreign))
        let pod = try Stream.listening(node.pod(0), port: 8080)
        let client = try #require(try Stream.connecting(node.client, "10.96.0.10", 80))
        #expect(client.reaches(pod.accepted()))
        // When the foreign server is gone, the Service gets its own.
        try node.namespace.run(["ipvsadm", "-D", "-t", server])
        try daemon.wait { try node.ipvsadm().contains("-A -t \(server) -s rr -b flag-3") }
    }

    @Test func `an external IP that is another Service's endpoint breaks nobody`() throws {
        let node = try Node()
        try node.write([2])
        // First, the Service has no endpoints; later, it does not admit these clients.
        let thief = "externalIPs: [10.244.1.2], ports: [{name: http, port: 8080}]"
        try node.folder.write(
            """
            apiVersion: v1
            kind: Service
            metadata: {name: thief, namespace: shop}
            spec: {clusterIP: 10.96.0.66, \(thief)}

            """,
            to: "thief.yaml"
        )
        #expect(try node.once("ipvs").status == 0)
        let pod = try Stream.listening(node.pod(0), port: 8080)
        for from in [node.client, node.namespace, try node.pod(1)] {
            let client = try #require(try Stream.connecting(from, "10.96.0.10", 80))
            #expect(client.reaches(pod.accepted()))
        }
        try node.folder.write(
            """
            apiVersion: v1
            kind: Service
            metadata: {name: thief, namespace: shop}
            spec:
              clusterIP: 10.96.0.66
              type: LoadBalancer
              loadBalancerSourceRanges: [198.51.100.0/24]
              ports: [{name: http, port: 8080}]
            status: {loadBalancer: {ingress: [{ip: 10.244.1.2}]}}

            """,
            to: "thief.yaml"
        )
        #expect(try node.once("ipvs").status == 0)
        let client = try #require(try Stream.connecting(node.client, "10.96.0.10", 80))
        #expect(client.reaches(pod.accepted()))
    }

    @Test func `the device comes back, whatever is done to it`() throws {
        let node = try Node()
        try node.write([2])
        let pod = try Stream.listening(node.pod(0), port: 8080)
        let daemon = try node.daemon("ipvs")
        try daemon.wait(for: "synced")
        for change in [
            "link del kube-ipvs0", "link set kube-ipvs0 up", "link set kube-ipvs0 down",
            "addr flush dev kube-ipvs0",
        ] {
            try node.namespace.ip([change])
            try daemon.wait { (try? node.addresses().contains("10.96.0.10/32")) == true }
            let client = try #require(try Stream.connecting(node.client, "10.96.0.10", 80))
            #expect(client.reaches(pod.accepted()), "\(change)")
        }
    }

    // The clock is the whole machine's, so it is set back at once.
    @Test func `a clock that jumps ends no draining, and delays no change`() throws {
        let node = try Node()
        try node.write([2])
        let pods = try [0, 1].map { try Stream.listening(node.pod($0), port: 8080) }
        let daemon = try node.daemon("ipvs")
        try daemon.wait(for: "synced")
        let old = try #require(try Stream.connecting(node.client, "10.96.0.10", 80))
        let server = pods[0].accepted()
        for (days, hosts) in [(400, [3]), (-800, [2, 3]), (400, [3])] {
            var now = timespec()
            clock_gettime(CLOCK_REALTIME, &now)
            now.tv_sec += days * 86_400
            #expect(clock_settime(CLOCK_REALTIME, &now) == 0)
            try node.write(hosts)
            let weight = hosts.contains(2) ? 1 : 0
            try daemon.wait {
                try node.ipvsadm().contains { $0.hasSuffix("10.244.1.2:8080 -m -w \(weight)") }
            }
            #expect(old.reaches(server))
        }
    }
}
