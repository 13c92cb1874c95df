import KubernetesModel
import ModelKernel
import ModelSupport
import NFTables
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

/// What users of other proxies have reported, packet by packet; numbers are Kubernetes' issues.
@Suite struct KnownIssueTests {
    /// A Service with a frontend of every kind; pods with odd addresses are on this node.
    private func balanced(_ addresses: String..., policy: TrafficPolicy) -> ClusterBuilder {
        ClusterBuilder().with { builder in
            builder.service.type = .loadBalancer
            builder.service.externalTrafficPolicy = policy
            builder.service.ports[0].nodePort = 30_080
            builder.service.externalIPs = [ip("198.51.100.1")]
            builder.service.loadBalancerVIPs = [ip("198.51.100.2")]
            builder.add()
            builder.slices[0].endpoints = addresses.map {
                endpoint($0, on: ip($0).low % 2 == 1 ? "here" : "there")
            }
        }
    }

    private let clusterIP = FrontendKey(ip("10.96.0.10"), .tcp, 80)
    private let external = [
        FrontendKey(ip("192.0.2.1"), .tcp, 30_080), FrontendKey(ip("198.51.100.1"), .tcp, 80),
        FrontendKey(ip("198.51.100.2"), .tcp, 80),
    ]

    private static let detections: [LocalDetection] = [
        .podCIDRs, .interface("cni0"), .interfacePrefix("cn"),
    ]

    // #131765, and in mode ipvs #93456 and #92857.
    @Test(arguments: detections, [TableRole.balancer, .policy])
    func `policy Local without a local endpoint cuts off outsiders, not pods and not the node`(
        detection: LocalDetection,
        role: TableRole
    ) throws {
        var node = try ProgrammedNode(detection, role: role)
        try node.program([balanced("10.0.0.2", "10.0.0.4", policy: .local)])
        for key in external {
            #expect(
                node.fates(from: ProgrammedNode.pod, to: key) == ["10.0.0.2:8080", "10.0.0.4:8080"]
            )
            #expect(
                node.fates(from: ProgrammedNode.itself, to: key)
                    == ["10.0.0.2:8080~", "10.0.0.4:8080~"]
            )
            #expect(node.fates(from: ProgrammedNode.outsider, to: key) == ["dropped"])
        }
    }

    // #20475, #53775; kube-router#9, #1673: hairpin also for external IPs.
    @Test(arguments: detections + [.none], [TrafficPolicy.cluster, .local])
    func `a pod reaches itself by every frontend, as the node`(
        detection: LocalDetection,
        policy: TrafficPolicy
    ) throws {
        var node = try ProgrammedNode(detection)
        try node.program([balanced("10.0.0.1", policy: policy)])
        for key in [clusterIP] + external {
            let fates = node.fates(from: (ip("10.0.0.1"), "cni0"), to: key)
            #expect(fates == ["10.0.0.1:8080~"], "\(key)")
        }
    }

    // #89869, #79866, #58338: the source is lost unexpectedly.
    @Test(arguments: detections + [.none], [TrafficPolicy.cluster, .local])
    func `what explain says about endpoints and the source is what packets meet`(
        detection: LocalDetection,
        policy: TrafficPolicy
    ) throws {
        // Where pods cannot be told they are outsiders, to explain as well.
        let kinds: [FlowExplanation.Client] =
            detection == .none ? [.node, .outside] : [.pod, .node, .outside]
        for addresses in [["10.0.0.1", "10.0.0.2"], ["10.0.0.2"], []] {
            var node = try ProgrammedNode(detection)
            let builder = balanced(policy: policy).with { builder in
                builder.slices[0].endpoints = addresses.map {
                    endpoint($0, on: $0 == "10.0.0.1" ? "here" : "there")
                }
                builder.service.loadBalancerSourceRanges = [prefix("203.0.113.0/24")]
            }
            try node.program([builder])
            let plan = try #require(node.plan(builder))
            #expect(plan.frontends.count == 4)
            for frontend in plan.frontends {
                for kind in kinds {
                    let client = ProgrammedNode.client(kind)
                    let flow = FlowExplanation(
                        frontend,
                        of: plan,
                        from: kind,
                        sources: [IPPrefix(host: client.address)],
                        canTellPods: detection != .none,
                        absence: ""
                    )
                    let told: [String] =
                        switch flow.outcome {
                        case .balanced:
                            flow.endpoints.map { "\($0)\(flow.isMasqueraded ? "~" : "")" }
                        case .rejected: ["rejected"]
                        case .dropped: ["dropped"]
                        }
                    #expect(node.fates(from: client, to: frontend.key) == Set(told))
                }
            }
        }
    }

    // #55429, #89358; cilium#35254, ovn-kubernetes#4066: policy, affinity and its whole range.
    @Test(arguments: [1, 10_800, 86_400] as [UInt32], [TrafficPolicy.cluster, .local])
    func `affinity holds for every frontend, policy and client, for the time that is asked for`(
        seconds: UInt32,
        policy: TrafficPolicy
    ) throws {
        var node = try ProgrammedNode()
        let builder = balanced("10.0.0.1", "10.0.0.2", "10.0.0.3", policy: policy)
        try node.program([builder.with { $0.service.affinityTimeout = seconds }])
        for key in [clusterIP] + external {
            for kind in [FlowExplanation.Client.pod, .node, .outside] {
                let client = ProgrammedNode.client(kind)
                let isLocal = policy == .local && kind == .outside && key != clusterIP
                let first = node.possibilities(from: client, to: key)
                #expect(first.count == (isLocal ? 2 : 3))
                for choice in first {
                    #expect(choice.writes.map(\.timeout) == [UInt64(seconds) * 1000])
                    var later = node.kernel.withKernel(\.self)
                    later.remember(choice.writes)
                    let second = node.possibilities(from: client, to: key, in: later)
                    #expect(second.map(\.outcome) == [choice.outcome])
                }
            }
        }
    }

    // #111321, #37414, #138183: kube-proxy keeps the node's old addresses for up to an hour.
    @Test func `NodePorts move at once with the node's address, and nothing answers on the old`()
        throws
    {
        var node = try ProgrammedNode()
        let before = balanced("10.0.0.2", policy: .cluster)
        try node.program([before])
        try node.program([before.with { $0.node.nodePortAddresses = [ip("192.0.2.7")] }])
        let new = FrontendKey(ip("192.0.2.7"), .tcp, 30_080)
        #expect(node.fates(from: ProgrammedNode.outsider, to: new) == ["10.0.0.2:8080~"])
        #expect(
            node.fates(from: ProgrammedNode.outsider, to: external[0]) == ["192.0.2.1:30080"]
        )
    }

    // kube-proxy's OnServiceCIDRsChanged requests no sync.
    @Test func `a block of cluster IPs takes effect at once, and one that goes does no harm`()
        throws
    {
        var node = try ProgrammedNode()
        let (old, new) = (ip("10.96.5.5"), ip("10.112.5.5"))
        func fate(_ address: IPAddress) -> Set<String> {
            node.fates(from: ProgrammedNode.pod, to: FrontendKey(address, .udp, 53))
        }
        #expect(fate(old) == ["dropped"] && fate(new) == ["10.112.5.5:53"])
        try node.program(serviceCIDR: prefix("10.112.0.0/16"))
        #expect(fate(old) == ["10.96.5.5:53"] && fate(new) == ["dropped"])
    }

    // #139513, #135639, #96018; kube-router#962; cilium#32391 for Services with many ports.
    @Test func `what a change costs depends on neither other Services nor other ports`() throws {
        func cost(services: Int, ports: Int) throws -> Int {
            var node = try ProgrammedNode()
            let builder = balanced("10.0.0.2", "10.0.0.4", policy: .cluster).with { builder in
                for number in 1..<ports {
                    let name = "p\(number)"
                    builder.service.ports.append(
                        ServicePort(name: name, transport: .tcp, port: 1000 + UInt16(number))
                    )
                    builder.add(endpoint("10.0.0.2"), portName: name)
                }
            }
            let others = (1..<services).map { number in
                ClusterBuilder("other-\(number)", clusterIP: "10.96.1.\(number)").with {
                    $0.add(endpoint("10.0.1.\(number)"))
                }
            }
            _ = try node.program(others + [builder])
            let readings = node.kernel.readCount
            let changed = builder.with { $0.slices[0].endpoints[1].address = ip("10.0.0.6") }
            let elements = try node.program([changed])
            #expect(node.kernel.readCount == readings, "the tables are not read again")
            #expect(
                node.fates(from: ProgrammedNode.pod, to: clusterIP)
                    == ["10.0.0.2:8080", "10.0.0.6:8080"]
            )
            return elements
        }
        let least = try cost(services: 1, ports: 1)
        #expect(least > 0)
        #expect(try cost(services: 100, ports: 1) == least)
        #expect(try cost(services: 1, ports: 100) == least)
    }
}
