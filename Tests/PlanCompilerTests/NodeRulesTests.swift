import KubernetesModel
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

/// Which frontends a Service has on a node, over random Services and nodes.
@Suite struct NodeRulesTests {
    private func addresses(_ texts: [String], _ random: inout Seeded) -> [IPAddress] {
        texts.filter { _ in Bool.random(using: &random) }.map(ip)
    }

    private func builder(_ random: inout Seeded) -> ClusterBuilder {
        var builder = ClusterBuilder()
        builder.node.nodePortAddresses = addresses(["192.0.2.1", "fd00:9::1"], &random)
        builder.node.localhostAddresses = addresses(["127.0.0.1", "::1"], &random)
        builder.node.ownAddresses = [ip("192.0.2.1")]
        builder.node.addresses = [ip("192.0.2.1"), ip("192.0.2.2")]
        // A NodePort is the API server's choice, and takes such a port.
        builder.node.protectedPorts = [22: "ssh", 30_080: "an agent"]
        builder.node.apiServers = [FrontendKey(ip("203.0.113.9"), .tcp, 443)]
        builder.node.allowsExternalIPs = Int.random(in: 0..<4, using: &random) > 0
        builder.node.allowsNodeAddresses = Bool.random(using: &random)
        builder.service.type =
            [.clusterIP, .nodePort, .loadBalancer].randomElement(using: &random) ?? .clusterIP
        builder.service.clusterIPs = addresses(["10.96.0.10", "fd96::10"], &random)
        builder.service.externalIPs = addresses(
            ["203.0.113.1", "192.0.2.1", "192.0.2.2", "203.0.113.9", "127.0.0.1"],
            &random
        )
        builder.service.loadBalancerVIPs = addresses(["198.51.100.1", "192.0.2.1"], &random)
        builder.service.ports = [(80, 30_080), (443, nil), (22, 30_022)].map { port, nodePort in
            ServicePort(
                name: "p\(port)",
                transport: [.tcp, .udp, .sctp].randomElement(using: &random) ?? .tcp,
                port: UInt16(port),
                nodePort: nodePort.flatMap { Bool.random(using: &random) ? UInt16($0) : nil }
            )
        }
        return builder
    }

    /// The keys that the documentation promises, without those that are refused.
    private func expected(_ builder: ClusterBuilder) -> [Frontend.Kind: Set<FrontendKey>] {
        let (service, node) = (builder.service, builder.node)
        let families = Set(service.clusterIPs.map(\.family))
        var keys: [Frontend.Kind: Set<FrontendKey>] = [:]
        func add(_ kind: Frontend.Kind, _ key: FrontendKey) {
            guard families.contains(key.address.family) else { return }
            guard key.address.reasonNotForServices == nil else { return }
            if kind != .clusterIP, node.apiServers.contains(key) { return }
            let isVirtual = kind == .externalIP || kind == .loadBalancerVIP
            if isVirtual, key.transport == .tcp, node.addresses.contains(key.address),
                node.protectedPorts[key.port] != nil
            {
                return
            }
            keys[kind, default: []].insert(key)
        }
        for port in service.ports {
            for address in service.clusterIPs {
                add(.clusterIP, FrontendKey(address, port.transport, port.port))
            }
            for address in service.externalIPs where node.allowsExternalIPs {
                if node.ownAddresses.contains(address), !node.allowsNodeAddresses { continue }
                add(.externalIP, FrontendKey(address, port.transport, port.port))
            }
            for address in service.loadBalancerVIPs {
                add(.loadBalancerVIP, FrontendKey(address, port.transport, port.port))
            }
            for address in node.nodePortAddresses {
                if let number = port.nodePort {
                    add(.nodePort, FrontendKey(address, port.transport, number))
                }
            }
        }
        // Of equal keys the load balancer's stays.
        let balanced = keys[.loadBalancerVIP] ?? []
        keys[.externalIP]?.subtract(balanced)
        return keys.filter { !$0.value.isEmpty }
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func `a Service has the frontends that its fields name, less those that are refused`(
        seed: UInt64
    ) {
        var random = Seeded(seed)
        for _ in 0..<25 {
            let builder = builder(&random)
            guard let plan = builder.compile().plan else {
                #expect(builder.service.clusterIPs.isEmpty)
                continue
            }
            let found = Dictionary(grouping: plan.frontends, by: \.kind).mapValues {
                Set($0.map(\.key))
            }
            #expect(found == expected(builder))
            #expect(plan.frontends.map(\.key) == plan.frontends.map(\.key).sorted())
            #expect(Set(plan.frontends.map(\.key)).count == plan.frontends.count)
            checkForwarded(builder, plan)
        }
    }

    // KEP-6032: NodePorts on the loopback address, for TCP and UDP.
    private func checkForwarded(_ builder: ClusterBuilder, _ plan: ServicePlan) {
        let families = Set(builder.service.clusterIPs.map(\.family))
        let wanted = builder.service.ports.flatMap { port -> [FrontendKey] in
            guard let number = port.nodePort, port.transport != .sctp else { return [] }
            return builder.node.localhostAddresses.filter { families.contains($0.family) }
                .map { FrontendKey($0, port.transport, number) }
        }
        #expect(plan.forwardedPorts.map(\.key) == wanted.sorted())
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `what is refused is told, and what is not is not`(seed: UInt64) {
        var random = Seeded(seed)
        for _ in 0..<25 {
            var builder = builder(&random)
            builder.node.nodePortAddresses = [ip("192.0.2.1")]
            let (plan, diagnostics) = builder.compile()
            guard plan != nil else { continue }
            let told = diagnostics.map(\.description).joined(separator: "\n")
            let service = builder.service
            let loopback = service.externalIPs.contains(ip("127.0.0.1"))
            #expect(
                told.contains("127.0.0.1 is a loopback address")
                    == (loopback && builder.node.allowsExternalIPs)
            )
            let isOwn = service.externalIPs.contains(ip("192.0.2.1"))
            #expect(
                told.contains("192.0.2.1 is node here's own address")
                    == (isOwn && builder.node.allowsExternalIPs
                        && !builder.node.allowsNodeAddresses)
            )
            #expect(
                told.contains("feature gate AllowServiceExternalIPs is off")
                    == (!service.externalIPs.isEmpty && !builder.node.allowsExternalIPs)
            )
        }
    }
}
