import KubernetesModel
import ModelKernel
import ModelSupport
import NFTables
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport

/// A node whose Services are compiled and programmed into a model of its kernel.
///
/// Its address is 192.0.2.1; pods have 10.0.0.0/16 and are behind cni0, all others behind eth0.
struct ProgrammedNode {
    let kernel = ModelTables()
    private(set) var plans = ClusterPlans()
    private(set) var view = ClusterBuilder().node
    private var tables: NodeTables
    private var inputs: TableInputs
    private var services: [ObjectName: ClusterBuilder] = [:]

    static let pod = (address: ip("10.0.0.99"), interface: Optional("cni0"))
    static let outsider = (address: ip("203.0.113.50"), interface: Optional("eth0"))
    static let itself = (address: ip("192.0.2.1"), interface: String?.none)

    typealias Client = (address: IPAddress, interface: String?)

    /// Makes a node that has no Services.
    ///
    /// - Parameter watching: what the tables are committed to, if not to the model itself
    init(
        _ detection: LocalDetection = .podCIDRs,
        role: TableRole = .balancer,
        watching: (ModelTables) -> any TableKernel = { $0 }
    ) throws {
        inputs = TableInputs(
            NodeFacts(
                serviceCIDRs: [prefix("10.96.0.0/16")],
                podCIDRs: [prefix("10.0.0.0/16")],
                localDetection: detection
            ),
            role: role
        )
        tables = NodeTables(IPFamily.allCases, watching(kernel))
        _ = try tables.adopt([], inputs)
    }

    static func client(_ kind: FlowExplanation.Client) -> Client {
        switch kind {
        case .pod: pod
        case .node: itself
        case .outside: outsider
        }
    }

    /// Programs Services that are new or have changed, for the node that the last of them has.
    ///
    /// - Returns: the number of elements that were added and removed
    @discardableResult mutating func program(_ changed: [ClusterBuilder]) throws -> Int {
        for builder in changed { services[builder.service.name] = builder }
        if let node = changed.last?.node { view = node }
        let names = changed.map(\.service.name)
        let update = plans.update(names, for: view) { [services] name in
            services[name].map { ($0.service, $0.slices) }
        }
        let report = try tables.commit(update.changes, inputs)
        return report.elementsAdded + report.elementsRemoved
    }

    /// Programs another block of cluster IPs, though no Service has changed.
    mutating func program(serviceCIDR: IPPrefix) throws {
        inputs.facts.serviceCIDRs = [serviceCIDR]
        _ = try tables.commit([], inputs)
    }

    func plan(_ builder: ClusterBuilder) -> ServicePlan? { plans.plan(of: builder.service.name) }

    // MARK: Packets

    private var routing: Routing {
        let own = Set(view.nodePortAddresses + [Self.itself.address])
        let clusterIPs = Set(
            inputs.role == .balancer ? [] : services.values.flatMap(\.service.clusterIPs)
        )
        let isLocal = { @Sendable (address: IPAddress) in
            own.contains(address) || clusterIPs.contains(address)
        }
        return .model(own: Self.itself.address, isLocal: isLocal) { $0.low % 2 == 1 }
    }

    /// Returns what may become of the first packet of a connection.
    ///
    /// - Parameter kernel: another kernel than the node's
    func possibilities(
        from client: Client,
        to key: FrontendKey,
        in kernel: MemoryKernel? = nil
    ) -> [Possibility] {
        let ruleset = kernel?.ruleset ?? self.kernel.withKernel(\.ruleset)
        let packet = Packet(
            from: client.address,
            40_000,
            to: key.address,
            key.port,
            key.transport,
            by: client.interface
        )
        return Evaluator(ruleset, routing: routing).possibilities(of: packet)
    }

    /// Returns where the first packet of a connection may go, or how else it ends; `~` follows a
    /// place that sees the node's address as the source.
    func fates(from client: Client, to key: FrontendKey) -> Set<String> {
        Set(
            possibilities(from: client, to: key).map { possibility in
                guard possibility.isCertain else { return "in doubt" }
                return switch possibility.outcome {
                case .delivered(let address, let port, let isMasqueraded, _):
                    "\(AddressAndPort(address, port))\(isMasqueraded ? "~" : "")"
                case .rejected: "rejected"
                case .dropped: "dropped"
                case .unroutable, .undecided: "in doubt"
                }
            }
        )
    }
}
