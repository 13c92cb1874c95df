import KubernetesModel
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

/// The sources that annotations admit to what is not a cluster IP.
@Suite struct ClientRangesPlanTests {
    private static let vip = ip("203.0.113.1")

    private func builder(
        _ allowed: [String]?,
        _ denied: [String]?,
        loadBalancer: [String]? = nil
    ) -> ClusterBuilder {
        ClusterBuilder().with {
            $0.service.type = .loadBalancer
            $0.service.ports[0].nodePort = 30080
            $0.service.externalIPs = [ip("203.0.113.9")]
            $0.service.loadBalancerVIPs = [Self.vip]
            $0.service.loadBalancerSourceRanges = loadBalancer?.map(prefix)
            $0.service.clientRanges.allowed = allowed?.map(prefix)
            $0.service.clientRanges.denied = denied?.map(prefix)
            $0.add(endpoint("10.244.1.5"))
        }
    }

    private func frontends(_ builder: ClusterBuilder) throws -> [Frontend.Kind: Frontend] {
        let plan = try #require(builder.compile().plan)
        return Dictionary(uniqueKeysWithValues: plan.frontends.map { ($0.kind, $0) })
    }

    private static let outer: [Frontend.Kind] = [.nodePort, .externalIP, .loadBalancerVIP]

    @Test func `they hold for everything but cluster IPs`() throws {
        let found = try frontends(builder(["198.51.100.0/24"], ["198.51.100.7/32"]))
        let inside = try #require(found[.clusterIP])
        #expect(!inside.isRestricted && !inside.cutsRefused)
        for kind in Self.outer {
            let frontend = try #require(found[kind])
            #expect(frontend.allowedSources == [prefix("198.51.100.0/24")] && frontend.cutsRefused)
            #expect(frontend.deniedSources == [prefix("198.51.100.7/32")])
        }
    }

    @Test func `without them, nothing is cut`() throws {
        let found = try frontends(builder(nil, nil, loadBalancer: ["198.51.100.0/24"]))
        #expect(found.values.filter(\.isRestricted).map(\.kind) == [.loadBalancerVIP])
        #expect(found.values.allSatisfy { !$0.cutsRefused })
        let open = try frontends(builder(["0.0.0.0/0", "198.51.100.0/24"], nil))
        #expect(open.values.allSatisfy { !$0.isRestricted && !$0.cutsRefused })
    }

    @Test(
        arguments: [
            ([], nil), (nil, []), (["2001:db8::/32"], nil), (nil, ["0.0.0.0/0"]),
            (["198.51.100.0/24"], ["10.0.0.0/8", "0.0.0.0/0"]),
        ] as [([String]?, [String]?)]
    )
    func `lists that cannot be read or say nothing of the family admit nobody`(
        allowed: [String]?,
        denied: [String]?
    ) throws {
        let found = try frontends(builder(allowed, denied))
        for kind in Self.outer {
            #expect(found[kind]?.allowedSources == [] && found[kind]?.deniedSources == [])
            #expect(found[kind]?.cutsRefused == true)
        }
    }

    @Test func `a deny list of the other family denies nobody here`() throws {
        let found = try frontends(builder(nil, ["2001:db8::/32"]))
        #expect(found.values.allSatisfy { !$0.isRestricted })
    }

    @Test func `a node goes with its address, also to what is bound to itself`() throws {
        let inside = try frontends(builder(["192.0.2.0/24"], nil))
        #expect(
            inside[.loadBalancerVIP]?.allowedSources == [
                prefix("192.0.2.0/24"), IPPrefix(host: Self.vip),
            ]
        )
        let denied = try frontends(builder(nil, ["192.0.2.1/32"]))
        #expect(
            denied[.loadBalancerVIP]?.deniedSources == [
                prefix("192.0.2.1/32"), IPPrefix(host: Self.vip),
            ]
        )
    }

    @Test func `a bad value is an event that names it`() {
        let broken = builder(nil, nil).with {
            $0.service.problems = [
                FieldProblem("metadata.annotations[\(ClientRanges.denyAnnotation)]", "\"x\" is bad")
            ]
        }
        let diagnostics = broken.compile().diagnostics
        #expect(diagnostics.map(\.event) == [.invalidAnnotation])
        #expect(diagnostics[0].description.contains("\"x\" is bad"))
    }

    /// Every address of 10.0.0.0/28, against lists of random blocks in it.
    @Test(arguments: 0..<200 as Range<UInt64>)
    func `who is in every allow list and in no deny list may connect, and nobody else`(seed: UInt64)
        throws
    {
        var random = Seeded(seed)
        let blocks = { (random: inout Seeded) -> [String]? in
            guard Bool.random(using: &random) else { return nil }
            return (0..<Int.random(in: 0...4, using: &random)).map { _ in
                "10.0.0.\(UInt8.random(in: 0..<16, using: &random))/\(Int.random(in: 28...32, using: &random))"
            }
        }
        let (allowed, denied, balancer) = (blocks(&random), blocks(&random), blocks(&random))
        let found = try frontends(builder(allowed, denied, loadBalancer: balancer))
        for host in 0..<16 {
            let client = ip("10.0.0.\(host)")
            let isIn = { (list: [String]) in list.contains { prefix($0).contains(client) } }
            let isDenied = denied.map { $0.isEmpty || isIn($0) } ?? false
            let isAllowed = allowed.map(isIn) ?? true
            let isBalanced = balancer.map(isIn) ?? true
            for kind in Self.outer {
                let expected =
                    isAllowed && !isDenied && (kind != .loadBalancerVIP || isBalanced)
                #expect(found[kind]?.admits(client) == expected, "\(client) \(kind)")
                let plan = try #require(
                    builder(allowed, denied, loadBalancer: balancer).compile().plan
                )
                let frontend = try #require(found[kind])
                let flow = FlowExplanation(
                    frontend,
                    of: plan,
                    from: .outside,
                    sources: [IPPrefix(host: client)],
                    canTellPods: true,
                    absence: ""
                )
                #expect((flow.outcome == .balanced) == expected)
                if frontend.deniedSources.contains(where: { $0.contains(client) }) {
                    #expect(
                        flow.why == "\(client) is in the Service's needletail.io/deny-source-ranges"
                    )
                }
            }
        }
    }
}

@Suite struct PrefixIntersectionTests {
    @Test(arguments: 0..<300 as Range<UInt64>)
    func `an address is in the intersection if it is in both lists`(seed: UInt64) {
        var random = Seeded(seed)
        let list = { (random: inout Seeded) in
            (0..<Int.random(in: 0...5, using: &random)).map { _ in
                prefix(
                    "10.0.0.\(UInt8.random(in: 0..<32, using: &random))/\(Int.random(in: 26...32, using: &random))"
                )
            }
        }
        let (left, right) = (list(&random), list(&random))
        let both = IPPrefix.intersection(left, right)
        #expect(both == IPPrefix.aggregated(both))
        for host in 0..<64 {
            let address = ip("10.0.0.\(host)")
            let isIn = { (list: [IPPrefix]) in list.contains { $0.contains(address) } }
            #expect(isIn(both) == (isIn(left) && isIn(right)), "\(address)")
        }
    }
}
