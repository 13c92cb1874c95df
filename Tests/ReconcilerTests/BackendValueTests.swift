import Backend
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

@Suite struct BackendValueTests {
    private func report(_ number: Int) -> CommitReport {
        var report = CommitReport()
        report.elementsAdded = number
        report.elementsRemoved = 2 * number
        report.objectsChanged = 3 * number
        report.serversChanged = 4 * number
        report.bytes = 5 * number
        report.staleEntriesRemoved = 6 * number
        return report
    }

    @Test func `reports of parts add up to that of the whole`() {
        var sum = report(1)
        sum.add(report(10))
        #expect(sum == report(11))
    }

    @Test func `the last look at connections of a family counts`() {
        let cleanup = { (deleted: Int) in
            ConnectionCleanup(deleted: deleted, duration: .seconds(1))
        }
        var (first, second) = (CommitReport(), CommitReport())
        first.connectionCleanups = [.ipv4: cleanup(1), .ipv6: cleanup(2)]
        second.connectionCleanups = [.ipv4: cleanup(3)]
        first.add(second)
        #expect(first.connectionCleanups == [.ipv4: cleanup(3), .ipv6: cleanup(2)])
    }

    @Test func `what changes the kernel makes a report that is not empty`() {
        let changes: [WritableKeyPath<CommitReport, Int>] = [
            \.elementsAdded, \.elementsRemoved, \.objectsChanged, \.serversChanged,
        ]
        for change in changes {
            var report = CommitReport()
            report[keyPath: change] = 1
            #expect(!report.isEmpty)
        }
        // Sending and forgetting are no changes of the configuration.
        for other: WritableKeyPath<CommitReport, Int> in [\.bytes, \.staleEntriesRemoved] {
            var report = CommitReport()
            report[keyPath: other] = 1
            #expect(report.isEmpty)
        }
    }

    @Test func `only advice for an operator is part of an error's text`() {
        #expect(CommitError("no room", recovery: .retry).description == "no room")
        #expect(CommitError("gone", recovery: .rereadKernel).description == "gone")
        #expect(
            CommitError("no privilege", recovery: .operatorAction("give NET_ADMIN")).description
                == "no privilege; give NET_ADMIN"
        )
    }

    @Test func `a difference says which way it goes`() {
        let texts = [Difference.Verb.add, .remove, .change].map {
            Difference($0, "table ip needletail", of: .everyone).description
        }
        #expect(
            texts == [
                "+ table ip needletail", "- table ip needletail", "~ table ip needletail",
            ]
        )
    }

    // include/uapi/linux/netfilter.h: NFPROTO_INET 1, NFPROTO_IPV4 2, NFPROTO_IPV6 10.
    @Test func `a chain's family is netfilter's number`() {
        for (number, name, families) in [
            (1, "inet", IPFamily.allCases), (2, "ip", [.ipv4]), (10, "ip6", [.ipv6]),
        ] as [(UInt8, String, [IPFamily])] {
            let place = ChainPlace(number, "filter", "FORWARD")
            #expect(place.familyName == name && place.families == families)
        }
    }
}

@Suite struct PlanValueTests {
    private func frontend(
        _ action: Frontend.Action,
        kind: Frontend.Kind = .clusterIP,
        address: String = "10.96.0.1"
    ) -> Frontend {
        Frontend(
            key: FrontendKey(ip(address), .tcp, 80),
            kind: kind,
            portName: "http",
            action: action,
            masquerade: .nonPods
        )
    }

    @Test func `a gap is a policy Local without an endpoint here, by family and side`() {
        let pool = Pool([Endpoint(ip("10.0.0.1"), 80, isLocal: false)])
        let plan = ServicePlan(
            service: "a",
            frontends: [
                frontend(.drop), frontend(.drop, address: "fd00::1"),
                frontend(.split(cluster: 0, local: nil), kind: .nodePort),
                frontend(.split(cluster: 0, local: 0), kind: .externalIP, address: "fd00::2"),
                frontend(.reject, kind: .loadBalancerVIP, address: "fd00::3"),
                frontend(.balance(pool: 0), kind: .nodePort, address: "fd00::4"),
            ],
            pools: [pool]
        )
        #expect(
            plan.localGaps == [
                LocalGap(family: .ipv4, isExternal: false),
                LocalGap(family: .ipv6, isExternal: false),
                LocalGap(family: .ipv4, isExternal: true),
            ]
        )
    }

    @Test func `of a split frontend outsiders have the local pool alone`() {
        let pools = [[1], [2]].map { hosts in
            Pool(hosts.map { Endpoint(ip("10.0.0.\($0)"), 80, isLocal: true) })
        }
        let plan = ServicePlan(service: "a", pools: pools)
        let split = frontend(.split(cluster: 0, local: 1))
        #expect(plan.pools(of: split).cluster == pools[0])
        #expect(plan.pools(of: split).local == pools[1])
        #expect(split.action.outerPool == 1)
        #expect(Frontend.Action.split(cluster: 0, local: nil).outerPool == nil)
        #expect(Frontend.Action.balance(pool: 0).outerPool == 0)
        #expect(plan.pools(of: frontend(.drop)).cluster == nil)
    }

    @Test func `pods are not told in a family without a block`() {
        var facts = NodeFacts(podCIDRs: [prefix("10.244.0.0/16")], localDetection: .podCIDRs)
        #expect(facts.localDetection(.ipv4) == .podCIDRs)
        #expect(facts.localDetection(.ipv6) == LocalDetection.none)
        facts = NodeFacts(localDetection: .interface("cni0"))
        #expect(facts.localDetection(.ipv6) == .interface("cni0"))
    }

    @Test func `the text of a plan names every part, on lines that stay lines`() {
        var plan = ServicePlan(
            service: "shop/web\nx",
            frontends: [frontend(.split(cluster: 0, local: nil))],
            pools: [
                Pool(
                    [Endpoint(ip("10.0.0.1"), 80, isLocal: true)],
                    draining: [Endpoint(ip("10.0.0.2"), 80, isLocal: false)]
                )
            ]
        )
        plan.frontends[0].portName = "a b"
        plan.frontends[0].affinityTimeout = 60
        plan.frontends[0].allowedSources = [prefix("10.0.0.0/8")]
        plan.scheduler = "wlc"
        plan.healthCheck = HealthCheck(port: 32_000, localEndpoints: 1)
        plan.forwardedPorts = [
            ForwardedPort(
                key: FrontendKey(ip("127.0.0.1"), .udp, 30_000),
                portName: "dns",
                endpoints: [],
                affinityTimeout: 5
            )
        ]
        #expect(
            plan.text == """
                service shop/web\\nx scheduler=wlc health-check=32000 local-endpoints=1
                  10.96.0.1:80/tcp ClusterIP port=a\\u{20}b pods to [10.0.0.1:80* (10.0.0.2:80)] others \
                dropped masquerade=non-pods affinity=60s from=[10.0.0.0/8]
                  127.0.0.1:30000/udp forwarded port=dns to [] affinity=5s
                """
        )
    }
}
