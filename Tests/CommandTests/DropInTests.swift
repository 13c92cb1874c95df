import BinarySupport
import EmbeddedAPIServer
import Glibc
import NetworkNamespaces
import TestSupport
import Testing

/// Tests that needletail can replace kube-proxy: flags, file, endpoints and leftovers.
@Suite(.timeLimit(.minutes(30))) struct DropInTests {
    private let namespace: NetworkNamespace
    private let folder: Folder
    private let server: APIServer
    private let url: String

    init() throws {
        namespace = try NetworkNamespace()
        folder = try Folder()
        try namespace.ip(["link set lo up", "addr add 192.0.2.1/32 dev lo"])
        (server, url) = try APIServer.listening(in: namespace)
        try server.apply([
            "kind": "Node", "metadata": ["name": "here"],
            "status": ["addresses": [["type": "InternalIP", "address": "127.0.0.1"]]],
        ])
        try server.apply([
            "kind": "Service", "metadata": ["name": "web", "namespace": "test"],
            "spec": [
                "type": "LoadBalancer", "clusterIP": "10.96.0.10",
                "externalTrafficPolicy": "Local", "healthCheckNodePort": 32001,
                "ports": [["name": "http", "port": 80, "nodePort": 30080]],
            ],
        ])
        try applySlice(node: "here")
    }

    private func applySlice(node: JSONValue) throws {
        try server.apply([
            "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": [
                "name": "web-1", "namespace": "test",
                "labels": ["kubernetes.io/service-name": "web"],
            ],
            "ports": [["name": "http", "port": 8080]],
            "endpoints": [["addresses": ["10.244.1.5"], "nodeName": node]],
        ])
    }

    private func start(_ flags: [String]) throws -> Daemon {
        try Daemon(flags, in: namespace, log: "\(folder.path)/.log")
    }

    private func get(_ path: String, _ port: UInt16, accept: String = "") throws -> HTTPProbe {
        let header = accept.isEmpty ? "" : "Accept: \(accept)"
        let probe = try HTTPProbe.get(path, port: port, in: namespace, header: header)
        return try #require(probe, "\(path) has no answer")
    }

    /// The flags of kube-proxy 1.36 (`cmd/kube-proxy/app/options.go`), each with a value.
    private static let flags = [
        "--feature-gates=NFTablesProxyMode=true,MultiCIDRServiceAllocator=false",
        "--kube-api-content-type=application/json", "--kube-api-burst=20", "--kube-api-qps=7",
        "--hostname-override=Here", "--bind-address=0.0.0.0",
        "--healthz-bind-address=0.0.0.0:10256", "--metrics-bind-address=127.0.0.1:10249",
        "--bind-address-hard-fail=false", "--profiling=true",
        "--show-hidden-metrics-for-version=1.35", "--proxy-mode=nftables",
        "--iptables-masquerade-bit=14", "--masquerade-all=true",
        "--iptables-localhost-nodeports=false", "--iptables-sync-period=30s",
        "--iptables-min-sync-period=1s", "--ipvs-sync-period=30s", "--ipvs-min-sync-period=0s",
        "--ipvs-scheduler=rr", "--ipvs-exclude-cidrs=192.0.2.0/24", "--ipvs-strict-arp=true",
        "--ipvs-tcp-timeout=0s", "--ipvs-tcpfin-timeout=0s", "--ipvs-udp-timeout=0s",
        "--detect-local-mode=ClusterCIDR", "--pod-bridge-interface=cni0",
        "--pod-interface-name-prefix=veth", "--cluster-cidr=10.244.0.0/16",
        "--nodeport-addresses=primary", "--oom-score-adj=-998", "--conntrack-max-per-core=0",
        "--conntrack-min=0", "--conntrack-tcp-timeout-established=24h",
        "--conntrack-tcp-timeout-close-wait=1h", "--conntrack-tcp-be-liberal=true",
        "--conntrack-udp-timeout=0s", "--conntrack-udp-timeout-stream=0s",
        "--config-sync-period=15m", "--healthz-port=10256", "--metrics-port=10249",
        "--logging-format=text", "--log-flush-frequency=5s", "-v=2", "--vmodule=a=1",
        "--log-text-split-stream=false", "--log-text-info-buffer-size=0",
        "--log-json-split-stream=false", "--log-json-info-buffer-size=0",
        "--boot-id-file=/proc/sys/kernel/random/boot_id", "--machine-id-file=/etc/machine-id",
        "--init-only=false", "--cleanup=false",
    ]

    @Test func `every flag of kube-proxy is taken`() throws {
        defer { server.stop() }
        let file = "\(folder.path)/effective.yaml"
        let result = try Binary.run(
            ["run", "--write-config-to", file, "--master", url] + Self.flags,
            in: namespace
        )
        #expect(result.status == 0, "\(result.output)")
        let written = try namespace.run(["cat", file])
        for line in [
            "hostnameOverride: Here", "masqueradeAll: true", "strictARP: true", "oomScoreAdj: -998",
            "tcpBeLiberal: true", "enableProfiling: true", "verbosity: 2", "maxPerCore: 0",
            "localhostNodePorts: false",
            "{MultiCIDRServiceAllocator: false, NFTablesProxyMode: true}",
        ] { #expect(written.contains(line), "\(line)") }
        #expect(try Binary.run(["--version"], in: namespace).status == 0)
        #expect(try Binary.run(["--help"], in: namespace).status == 0)
    }

    @Test
    func
        `kubeadm's ConfigMap starts it, its NodePorts are at all addresses, and its endpoints are kube-proxy's`()
        throws
    {
        defer { server.stop() }
        let kubeconfig = try folder.write(
            """
            apiVersion: v1
            kind: Config
            current-context: default
            contexts: [{name: default, context: {cluster: default, user: default}}]
            clusters: [{name: default, cluster: {server: "\(url)"}}]
            users: [{name: default, user: {}}]

            """,
            to: "kubeconfig.conf"
        )
        let config = try folder.write(
            try Fixture.text("Fixtures/kubeadm-kube-proxy.yaml")
                .replacing("/var/lib/kube-proxy/kubeconfig.conf", with: kubeconfig),
            to: "config.conf"
        )
        let daemon = try start(["--config=\(config)", "--hostname-override=here"])
        try daemon.wait(for: "synced")
        #expect(daemon.output.contains("NodePorts answer on all addresses of this node"))
        let rules = try namespace.run(["nft", "list", "ruleset"])
        #expect(rules.contains("192.0.2.1 . tcp . 30080") && !rules.contains("127.0.0.1 . tcp"))
        #expect(!daemon.output.contains("ignored") && !daemon.output.contains("no effect"))
        try daemon.wait { try get("/healthz", 10256).status == 200 }
        #expect(try get("/livez", 10256).body.contains(#""status":{"IPv4":{"healthy":true"#))
        #expect(try !get("/livez", 10256).body.contains("nodeEligible"))
        #expect(try get("/readyz", 10256).body == "ok")
        #expect(try get("/healthz", 10249).body == "ok")
        let mode = try get("/proxyMode", 10249)
        #expect(mode.body == "nftables")
        #expect(mode.headers.contains("Content-Type: text/plain; charset=utf-8"))
        #expect(mode.headers.contains("X-Content-Type-Options: nosniff"))
        #expect(
            try get("/configz", 10249).body.contains(#""kubeproxy.config.k8s.io":{"apiVersion""#)
        )
        #expect(try get("/flagz", 10249).body.contains("cluster-cidr=\"10.244.0.0/16\""))
        #expect(try get("/statusz", 10249).body.contains("ready        yes"))
        #expect(try get("/metrics/slis", 10249).body.contains("kubernetes_healthcheck"))
        #expect(try get("/debug/flags/v", 10249).status == 404)
        let metrics = try get("/metrics", 10249).body
        #expect(metrics.contains("needletail_elements{set=\"frontends\",ip_family=\"IPv4\"} 2\n"))
        #expect(metrics.contains("needletail_services 1\n"))
        #expect(
            metrics.contains("rest_client_requests_total{code=\"200\",method=\"GET\",host=\"127")
        )
        #expect(
            try get("/metrics", 10249, accept: "application/openmetrics-text").body
                .hasSuffix("# EOF\n")
        )
        let status = try Binary.run(["status", "-o", "json"], in: namespace)
        #expect(status.status == 0 && status.output.contains(#""services" : 1"#))
    }

    @Test func `a node that is about to go is told to load balancers`() throws {
        defer { server.stop() }
        let daemon = try start(["--master", url, "--hostname-override", "here", "-v", "2"])
        try daemon.wait(for: "synced")
        try daemon.wait { try get("/healthz", 10256).status == 200 }
        let answer = try get("/", 32001)
        #expect(answer.status == 200 && answer.headers.contains("Endpoint-Weight: 1"))
        #expect(answer.body.contains("\t\t\"namespace\": \"test\",\n\t\t\"name\": \"web\""))
        try applySlice(node: "there")
        try daemon.wait { try get("/", 32001).body.contains("\"localEndpoints\": 0") }
        #expect(try get("/", 32001).status == 503)
        try daemon.wait {
            try get("/metrics", 10249).body.contains(
                "no_local_endpoints_total{traffic_policy=\"external\",ip_family=\"IPv4\"} 1"
            )
        }
        try server.apply([
            "kind": "Node", "metadata": ["name": "here"],
            "spec": [
                "taints": [["key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"]]
            ],
            "status": ["addresses": [["type": "InternalIP", "address": "127.0.0.1"]]],
        ])
        try daemon.wait { try get("/healthz", 10256).status == 503 }
        #expect(try get("/healthz", 10256).body.contains(#""healthy":true"#))
        #expect(try get("/livez", 10256).status == 200)
        server.delete("Service", "test", "web")
        try daemon.wait { try HTTPProbe.get("/", port: 32001, in: namespace) == nil }
    }

    @Test func `what kube-proxy has left goes, and nothing else`() throws {
        defer { server.stop() }
        try namespace.run(
            ["nft", "-f", "-"],
            input: """
                table ip kube-proxy { chain services { accept; }; }
                table ip6 kube-proxy { }
                table ip nat {
                    chain KUBE-SEP-A { dnat to 10.244.1.9; }
                    chain KUBE-SVC-A { goto KUBE-SEP-A; }
                    chain KUBE-SERVICES { ip daddr 10.96.0.10 jump KUBE-SVC-A; }
                    chain KUBE-POSTROUTING { meta mark 0x4000 masquerade; }
                    chain KUBE-KUBELET-CANARY { }
                    chain CNI-HOSTPORT-DNAT { }
                    chain PREROUTING {
                        type nat hook prerouting priority -100;
                        jump KUBE-SERVICES
                        jump CNI-HOSTPORT-DNAT
                    }
                    chain POSTROUTING {
                        type nat hook postrouting priority 100;
                        jump KUBE-POSTROUTING
                    }
                }
                table ip filter { chain KUBE-FIREWALL { }; chain KUBE-FORWARD { }; }

                """
        )
        let dry = try Binary.run(["cleanup", "--kube-proxy", "--dry-run"], in: namespace)
        #expect(
            dry.output.contains("would remove table ip nat chain PREROUTING: jump KUBE-SERVICES")
        )
        #expect(try namespace.run(["nft", "list", "tables"]).contains("kube-proxy"))
        let daemon = try start(["--master", url, "--hostname-override", "here"])
        try daemon.wait(for: "removed what kube-proxy had left")
        let rest = try namespace.run(["nft", "list", "ruleset"])
        for gone in ["kube-proxy", "KUBE-SERVICES", "KUBE-S", "KUBE-POSTROUTING", "KUBE-FORWARD"] {
            #expect(!rest.contains(gone), "\(gone)")
        }
        for kept in [
            "KUBE-KUBELET-CANARY", "jump CNI-HOSTPORT-DNAT", "KUBE-FIREWALL", "needletail",
        ] {
            #expect(rest.contains(kept), "\(kept)")
        }
        try daemon.wait { server.objects("Event").contains { $0["reason"] == "TookOver" } }
    }

    @Test func `the file is followed, and a bad one changes nothing`() throws {
        defer { server.stop() }
        let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
        let config = try folder.write(head + "clusterCIDR: 10.244.0.0/16\n", to: "config.conf")
        let daemon = try start([
            "--config", config, "--master", url, "--hostname-override", "here",
        ])
        try daemon.wait(for: "synced")
        func pods() throws -> String {
            try namespace.run(["nft", "list", "set", "ip", "needletail", "pod-cidrs"])
        }
        #expect(try pods().contains("10.244.0.0/16"))
        try folder.write(head + "clusterCIDR: 10.0.0.0\noomScoreAdj: 5000\n", to: "config.conf")
        try daemon.wait(for: "what was configured before stays in force")
        #expect(!daemon.output.contains("\nneedletail: "), "each problem is in the one log line")
        try daemon.wait {
            server.objects("Event").contains { $0["reason"] == "InvalidConfiguration" }
        }
        #expect(try pods().contains("10.244.0.0/16"))
        try folder.write(
            head + "clusterCIDR: 10.128.0.0/9\nmode: ipvs\nmod: x\n",
            to: "config.conf"
        )
        try daemon.wait { try pods().contains("10.128.0.0/9") }
        try daemon.wait(for: "mode: changed in")
        let told = "what was configured before stays in force"
        #expect(daemon.output.ranges(of: told).count == 1, "one change rings more than once")
        try daemon.wait(for: "can be used again")
        try daemon.wait(for: "line 5: mod: is no field of KubeProxyConfiguration; ignored")
    }

    @Test func `a flush loop is outlasted`() throws {
        defer { server.stop() }
        let daemon = try start(["--master", url, "--hostname-override", "here"])
        try daemon.wait(for: "synced")
        for _ in 0..<30 {
            try namespace.run(["nft", "flush", "ruleset"])
            try namespace.run(["nft", "list", "tables"])
        }
        try daemon.wait {
            try namespace.run(["nft", "list", "ruleset"]).contains("10.96.0.10 . tcp . 80")
                && get("/readyz", 10256).status == 200
        }
        #expect(daemon.output.split(separator: "another program changed").count <= 3, "told once")
    }

    @Test func `a port that is taken is tried again, or is fatal`() throws {
        defer { server.stop() }
        let other = try Stream.listening(namespace, "0.0.0.0", port: 10256)
        defer { withExtendedLifetime(other) {} }
        let daemon = try start(["--master", url, "--hostname-override", "here"])
        try daemon.wait(for: "cannot listen on 0.0.0.0:10256: Address already in use")
        try daemon.wait {
            server.objects("Event").contains { $0["reason"] == "FailedToStartProxierHealthcheck" }
        }
        #expect(try get("/proxyMode", 10249).status == 200)
        // Another one would wait for this one's end.
        daemon.stop()
        let fatal = try Binary.run(
            [
                "run", "--master", url, "--hostname-override", "here", "--bind-address-hard-fail",
                "--metrics-bind-address", "",
            ],
            in: namespace
        )
        #expect(fatal.status == 1 && fatal.output.contains("cannot listen on 0.0.0.0:10256"))
    }

    @Test func `explain agrees with the kernel, or says where not`() throws {
        defer { server.stop() }
        try namespace.ip([
            "link add cni0 type bridge", "addr add 10.244.1.1/24 dev cni0", "link set cni0 up",
            "link add eth0 type bridge", "link set eth0 up", "route add default dev eth0",
        ])
        try namespace.setSysctl("net/ipv4/ip_forward", "1")
        let flags = [
            "--master", url, "--hostname-override", "here", "--cluster-cidr", "10.244.0.0/16",
        ]
        let daemon = try start(flags)
        try daemon.wait(for: "synced")
        daemon.stop()
        let pod = try Binary.run(
            ["explain", "10.96.0.10:80/tcp", "--from", "10.244.1.5"] + flags,
            in: namespace
        )
        #expect(pod.status == 0, "\(pod.output)")
        #expect(pod.output.contains("not masqueraded: a pod sends to a cluster IP"))
        #expect(pod.output.contains("+ 10.244.1.5:8080: ready, on this node"))
        #expect(pod.output.contains("kernel: does this"))
        try applySlice(node: "there")
        try namespace.run(["nft", "flush", "map", "ip", "needletail", "endpoints"])
        let outside = try Binary.run(
            ["explain", "192.0.2.1:30080", "--from", "192.0.2.77"] + flags,
            in: namespace
        )
        #expect(outside.status == 1)
        #expect(outside.output.contains("dropped: external traffic policy Local, and no endpoint"))
        #expect(outside.output.contains("+ ip needletail endpoints:"))
        let json = try Binary.run(["explain", "test/web", "-o", "json"] + flags, in: namespace)
        #expect(json.output.contains(#""frontend" : "10.96.0.10:80/tcp""#))
        #expect(
            try Binary.run(["explain", "a/b"] + flags, in: namespace).output.contains("no Service")
        )
        #expect(try Binary.run(["explain", "x"] + flags, in: namespace).status == 1)
    }

    @Test func `connections are counted by Service, for so many Services`() throws {
        defer { server.stop() }
        try namespace.ip(["addr add 10.244.1.5/32 dev lo", "route add default dev lo"])
        let daemon = try start([
            "--master", url, "--hostname-override", "here", "--service-metrics", "1",
        ])
        try daemon.wait(for: "synced")
        // No program listens at the endpoint; its refusals count as connections all the same.
        for _ in 1...5 {
            #expect(try HTTPProbe.connected(host: "10.96.0.10", port: 80, in: namespace) == nil)
        }
        let line = "needletail_service_connections_total{namespace=\"test\",service=\"web\"} "
        try daemon.wait { try get("/metrics", 10249).body.contains(line + "5\n") }
        let listing = try namespace.run(["nft", "list", "set", "ip", "needletail", "frontends"])
        #expect(listing.contains("counter packets 5 "), "\(listing)")
        daemon.stop()
        // Without the flag the table is a different one, and stays so.
        let plain = ["--master", url, "--hostname-override", "here"]
        #expect(try Binary.run(["diff"] + plain, in: namespace).status == 1)
        #expect(try Binary.run(["run", "--once"] + plain, in: namespace).status == 0)
        #expect(try Binary.run(["diff"] + plain, in: namespace).status == 0)
    }
}
