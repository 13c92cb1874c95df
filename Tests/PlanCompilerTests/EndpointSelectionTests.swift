import KubernetesModel
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

/// What `pkg/proxy/topology.go: CategorizeEndpoints` says, in the words of KEP-1669, KEP-2086,
/// KEP-2433 and KEP-3015.
private struct ReferenceSelection {
    let endpoints: [SliceEndpoint]
    let zone: String?

    private var ready: [SliceEndpoint] { endpoints.filter(\.isReady) }

    private func areHinted(_ hints: (SliceEndpoint) -> [String], to name: String) -> Bool {
        for endpoint in ready where hints(endpoint).isEmpty { return false }
        for endpoint in ready where hints(endpoint).contains(name) { return true }
        return false
    }

    private func isHere(_ endpoint: SliceEndpoint) -> Bool {
        if areHinted(\.place.nodeHints, to: "here") {
            return endpoint.place.nodeHints.contains("here")
        }
        if let zone, areHinted(\.place.zoneHints, to: zone) {
            return endpoint.place.zoneHints.contains(zone)
        }
        return true
    }

    private func orTerminating(_ chosen: [SliceEndpoint], _ all: [SliceEndpoint]) -> [IPAddress] {
        let last = all.filter { $0.isServing && $0.isTerminating }
        return (chosen.isEmpty ? last : chosen).map(\.address).sorted()
    }

    var cluster: [IPAddress] { orTerminating(ready.filter(isHere), endpoints) }

    var local: [IPAddress] {
        let own = endpoints.filter { $0.place.nodeName == "here" }
        return orTerminating(own.filter(\.isReady), own)
    }

    var hasAny: Bool { endpoints.contains { $0.isReady || $0.isServing && $0.isTerminating } }
}

@Suite struct EndpointSelectionTests {
    private func endpoints(_ random: inout Seeded) -> [SliceEndpoint] {
        let hints = { (names: [String], random: inout Seeded) in
            // Hints count only if all have some, so most have.
            Int.random(in: 0..<8, using: &random) == 0
                ? [] : [names.randomElement(using: &random) ?? ""]
        }
        let (hasZones, hasNodes) = (Bool.random(using: &random), Bool.random(using: &random))
        let mayBeReady = Int.random(in: 0..<4, using: &random) > 0
        return (1...Int.random(in: 1...6, using: &random)).map { number in
            let isTerminating = Int.random(in: 0..<3, using: &random) == 0
            let isServing = Bool.random(using: &random)
            return endpoint(
                "10.0.0.\(number)",
                on: ["here", "there", nil].randomElement(using: &random) ?? nil,
                // The controller reports no terminating endpoint as ready.
                ready: mayBeReady && isServing && !isTerminating,
                serving: isServing,
                terminating: isTerminating,
                zones: hasZones ? hints(["zone-a", "zone-b"], &random) : [],
                nodes: hasNodes ? hints(["here", "there"], &random) : []
            )
        }
    }

    /// The endpoints of an action, or what else it does.
    private func text(_ plan: ServicePlan?, _ kind: Frontend.Kind) -> String {
        guard let plan, let frontend = plan.frontends.first(where: { $0.kind == kind }) else {
            return "none"
        }
        let names = { (pool: Int) in "\(plan.pools[pool].endpoints.map(\.address))" }
        return switch frontend.action {
        case .balance(let pool): names(pool)
        case .split(let cluster, let local): "\(names(cluster)) \(local.map(names) ?? "drop")"
        case .reject: "reject"
        case .drop: "drop"
        }
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func `endpoints are chosen as kube-proxy chooses them`(seed: UInt64) {
        var random = Seeded(seed)
        for _ in 0..<50 {
            let all = endpoints(&random)
            let zone = ["zone-a", "zone-c", nil].randomElement(using: &random) ?? nil
            let reference = ReferenceSelection(endpoints: all, zone: zone)
            for isInternalLocal in [false, true] {
                for isExternalLocal in [false, true] {
                    var builder = ClusterBuilder()
                    builder.node.zone = zone
                    builder.service.type = .nodePort
                    builder.service.ports[0].nodePort = 30_080
                    builder.service.internalTrafficPolicy = isInternalLocal ? .local : .cluster
                    builder.service.externalTrafficPolicy = isExternalLocal ? .local : .cluster
                    builder.add(all[0])
                    builder.slices[0].endpoints = all
                    let plan = builder.compile().plan
                    let nothing = reference.hasAny ? "drop" : "reject"
                    let inside = isInternalLocal ? reference.local : reference.cluster
                    #expect(text(plan, .clusterIP) == (inside.isEmpty ? nothing : "\(inside)"))
                    let local = reference.local.isEmpty ? "drop" : "\(reference.local)"
                    let outside =
                        if reference.cluster.isEmpty {
                            "reject"
                        } else if isExternalLocal {
                            "\(reference.cluster) \(local)"
                        } else {
                            "\(reference.cluster)"
                        }
                    #expect(text(plan, .nodePort) == outside)
                }
            }
        }
    }

    // KEP-1669: a terminating endpoint that serves keeps its connections while others are ready.
    @Test func `terminating endpoints that serve keep their connections in every pool`() {
        let service = ClusterBuilder().with {
            $0.service.type = .nodePort
            $0.service.ports[0].nodePort = 30_080
            $0.service.externalTrafficPolicy = .local
            $0.add(
                endpoint("10.0.0.1", on: "here"),
                endpoint("10.0.0.2"),
                endpoint("10.0.0.3", ready: false, terminating: true),
                endpoint("10.0.0.4", ready: false, serving: false, terminating: true)
            )
        }
        let pools = service.compile().plan?.pools ?? []
        #expect(pools.count == 2)
        for pool in pools { #expect(pool.draining.map(\.address) == [ip("10.0.0.3")]) }
        // Those that get connections themselves are not among those that only keep them.
        let last = ClusterBuilder().with {
            $0.add(endpoint("10.0.0.3", ready: false, terminating: true))
        }
        #expect(last.compile().plan?.pools.first?.draining.isEmpty == true)
    }

    @Test func `a node without a name or a zone follows no hints`() {
        for zone in [nil, ""] {
            var builder = ClusterBuilder()
            builder.node.zone = zone
            builder.node.name = ""
            builder.add(
                endpoint("10.0.0.1", zones: [""], nodes: [""]),
                endpoint("10.0.0.2", zones: ["zone-a"], nodes: ["there"])
            )
            #expect(builder.lines()[0].contains("to [10.0.0.1:8080 10.0.0.2:8080]"))
        }
    }

    @Test func `one port name may be another number in each slice`() {
        let service = ClusterBuilder().with {
            $0.add(endpoint("10.0.0.1"), endpoint("10.0.0.2"), port: 8080)
            $0.add(endpoint("10.0.0.1"), endpoint("10.0.0.3"), port: 8081)
            $0.add(endpoint("10.0.0.9"), portName: "other")
            $0.add(endpoint("10.0.0.9"), transport: .udp)
        }
        #expect(
            service.lines()[0].contains(
                "to [10.0.0.1:8080 10.0.0.1:8081 10.0.0.2:8080 10.0.0.3:8081]"
            )
        )
    }
}

@Suite struct SourceRangesTests {
    private func blocks(_ random: inout Seeded) -> [IPPrefix] {
        (0..<Int.random(in: 1...4, using: &random)).compactMap { _ in
            Int.random(in: 0..<5, using: &random) == 0
                ? prefix("fd00::/8")
                : IPPrefix(
                    IPAddress(ipv4: 0xC000_0200 + UInt32.random(in: 0..<64, using: &random)),
                    length: Int.random(in: 24...32, using: &random)
                )
        }
    }

    // nftables/proxier.go: loadBalancerSourceRanges and allowFromNode.
    @Test(arguments: 0..<30 as Range<UInt64>)
    func `exactly those may use a VIP whom a range of its family admits`(seed: UInt64) {
        var random = Seeded(seed)
        let (vip, node) = (ip("198.51.100.7"), ip("192.0.2.1"))
        for _ in 0..<20 {
            let ranges = blocks(&random)
            let service = ClusterBuilder().with {
                $0.service.type = .loadBalancer
                $0.service.loadBalancerVIPs = [vip]
                $0.service.loadBalancerSourceRanges = ranges
                $0.add(endpoint("10.0.0.1"))
            }
            let frontends = service.compile().plan?.frontends ?? []
            #expect(frontends.first { $0.kind == .clusterIP }?.allowedSources == nil)
            let allowed = frontends.first { $0.kind == .loadBalancerVIP }?.allowedSources
            let own = ranges.filter { $0.family == .ipv4 }
            guard !own.isEmpty else {
                #expect(allowed == nil)
                continue
            }
            let isNodeAdmitted = own.contains { $0.contains(node) }
            for number in 0..<80 as Range<UInt32> {
                let client = IPAddress(ipv4: 0xC000_0200 + number)
                let isAdmitted = allowed?.contains { $0.contains(client) }
                #expect(isAdmitted == own.contains { $0.contains(client) })
            }
            #expect(allowed?.contains { $0.contains(vip) } == isNodeAdmitted)
            // An interval set takes no overlaps.
            for (left, right) in zip(allowed ?? [], (allowed ?? []).dropFirst()) {
                #expect(left.last < right.base)
            }
        }
    }

    @Test func `NodePorts and external IPs are open to everyone`() {
        let service = ClusterBuilder().with {
            $0.service.type = .loadBalancer
            $0.service.ports[0].nodePort = 30_080
            $0.service.externalIPs = [ip("203.0.113.1")]
            $0.service.loadBalancerVIPs = [ip("198.51.100.7"), ip("fd00::7")]
            $0.service.clusterIPs.append(ip("fd96::1"))
            $0.service.loadBalancerSourceRanges = [prefix("203.0.113.0/24")]
            $0.add(endpoint("10.0.0.1"))
        }
        let restricted = (service.compile().plan?.frontends ?? []).filter {
            $0.allowedSources != nil
        }
        // The ranges are of one family, and the other VIP is open.
        #expect(restricted.map(\.key.address) == [ip("198.51.100.7")])
    }
}
