internal import Backend
internal import FoundationEssentials
internal import Glibc
internal import Logging
internal import NFTablesKernel
internal import NetworkNamespaces
internal import NetworkTypes
internal import ServicePlan

/// Whose rules a node has.
enum RulesetLayout: String, Encodable {
    case none, kubeProxy, needletail
}

/// A node with one layout of rules for many Services.
final class ConnectionScene {
    let path: ConnectionPath
    let layout: RulesetLayout
    let services: Int

    init(_ layout: RulesetLayout, _ plans: [ServicePlan]) async throws {
        (self.layout, services) = (layout, plans.count)
        path = try ConnectionPath()
        switch layout {
        case .none: break
        case .kubeProxy: try load(plans)
        case .needletail: try await adopt(plans)
        }
    }

    private func load(_ plans: [ServicePlan]) throws {
        guard let cidr = IPPrefix(ConnectionPath.clusterCIDR) else { throw LabError("no block") }
        try loadRules(KubeProxyLayout(plans, clusterCIDR: cidr).text, in: path.node)
    }

    private func adopt(_ plans: [ServicePlan]) async throws {
        let logger = Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }
        // The sockets stay in the namespace in which they were opened.
        let backend = try path.node.inside {
            NFTablesBackend(try TableProgrammer(families: [.ipv4, .ipv6], logger: logger))
        }
        let blocks = [ConnectionPath.clusterCIDR, ConnectionPath.serviceCIDR].map { IPPrefix($0) }
        _ = try await backend.adopt(
            plans,
            node: NodeFacts(
                serviceCIDRs: [blocks[1]].compactMap(\.self),
                podCIDRs: [blocks[0]].compactMap(\.self),
                localDetection: .podCIDRs
            )
        )
    }
}

/// Loads rules with nft, in one transaction.
func loadRules(_ text: String, in namespace: NetworkNamespace) throws {
    let file = "/tmp/needletail-bench-\(getpid())-\(UInt32.random(in: 0 ... .max)).nft"
    defer { unlink(file) }
    try Data(text.utf8).write(to: URL(filePath: file))
    try namespace.run(["nft", "-f", file])
}

/// Services that are measured, and those around them.
struct ConnectionServices {
    private(set) var plans: [ServicePlan] = []
    private var endpoints: UInt32 = 0

    /// The first address of the block of cluster IPs that is used.
    private static let firstVIP: UInt32 = 0x0A60_0001
    private static let firstEndpoint: UInt32 = 0x0AA0_0001
    private static let loadBalancer: UInt32 = 0xCB00_7101
    /// The first of the blocks that may use a load balancer, one in each 1,024 addresses.
    static let firstSource: UInt32 = 0x1400_0000

    /// Adds Services with so many endpoints each.
    mutating func add(_ count: Int, endpoints: Int) {
        for _ in 0..<count { _ = add(endpoints: endpoints) }
    }

    /// Adds a Service and returns its cluster IP.
    @discardableResult
    mutating func add(endpoints count: Int, affinityTimeout: UInt32? = nil) -> IPAddress {
        let address = IPAddress(ipv4: Self.firstVIP + UInt32(plans.count))
        let frontend = Frontend(
            key: FrontendKey(address, .tcp, 80),
            kind: .clusterIP,
            portName: "http",
            action: .balance(pool: 0),
            masquerade: .nonPods,
            affinityTimeout: affinityTimeout
        )
        plans.append(
            ServicePlan(service: name, frontends: [frontend], pools: [pool(count)])
        )
        return address
    }

    /// Adds a Service with a load balancer that so many blocks may use, and returns its VIP.
    mutating func addLoadBalancer(sources: Int) -> IPAddress {
        let name = name
        _ = add(endpoints: 5)
        let address = IPAddress(ipv4: Self.loadBalancer)
        let blocks = (0..<sources).compactMap { index in
            // The lengths /22 to /30 are in use.
            IPPrefix(
                IPAddress(ipv4: Self.firstSource + UInt32(index) << 10),
                length: 22 + index % 9
            )
        }
        plans[plans.count - 1] = ServicePlan(
            service: name,
            frontends: plans[plans.count - 1].frontends + [
                Frontend(
                    key: FrontendKey(address, .tcp, 80),
                    kind: .loadBalancerVIP,
                    portName: "http",
                    action: .balance(pool: 0),
                    masquerade: .everyone,
                    allowedSources: blocks.sorted()
                )
            ],
            pools: plans[plans.count - 1].pools
        )
        return address
    }

    /// Returns the cluster IP of a Service.
    static func vip(_ index: Int) -> IPAddress { IPAddress(ipv4: firstVIP + UInt32(index)) }
    /// The first pod that is a client.
    static let client: UInt32 = 0x0AC0_0001
    static let endpoint = IPAddress(ipv4: firstEndpoint)

    private var name: String { "bench/service-\(plans.count)" }

    private mutating func pool(_ count: Int) -> Pool {
        let first = Self.firstEndpoint + endpoints
        endpoints += UInt32(count)
        return Pool(
            (0..<UInt32(count)).map {
                Endpoint(
                    IPAddress(ipv4: first + $0),
                    ConnectionPath.endpointPort,
                    isLocal: false
                )
            }
        )
    }
}
