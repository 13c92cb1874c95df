internal import Configuration
internal import KubernetesModel
internal import ManifestSource
internal import NetworkTypes
internal import Netlink
internal import PlanCompiler
internal import Reconciler
internal import ServicePlan

/// The desired state at one moment, for commands other than the daemon.
struct Snapshot {
    let plans: [ServicePlan]
    let facts: NodeFacts
    private let diagnostics: [ObjectName: [Diagnostic]]
    let state: ClusterState
    let view: NodeView
    /// The endpoints of this node, as far as an explanation has met them.
    let localEndpoints: Set<IPAddress>

    /// The problems with objects, in the order of the Services' names.
    var allDiagnostics: [Diagnostic] {
        diagnostics.sorted { $0.key < $1.key }.flatMap(\.value)
    }

    func diagnostics(of service: ObjectName) -> [Diagnostic] { diagnostics[service] ?? [] }

    /// - Parameter objects: the objects, if they are read already; nil to read them from the source
    init(
        _ source: SourceOptions,
        _ effective: KubeProxyConfiguration,
        objects: [KubernetesObject]? = nil
    ) async throws {
        let apiServers = APIServerAddresses()
        let addresses = try interfaceAddresses(try effective.nodeConfiguration())
        var result = ServiceReading.Result()
        if let objects {
            result.objects = objects
        } else {
            result.objects = try await readObjects(source, effective, apiServers)
        }
        try self.init(result, effective, apiServers, addresses)
    }

    /// Reads and compiles no more than an explanation needs.
    init(
        of wanted: Wanted,
        _ source: SourceOptions,
        _ effective: KubeProxyConfiguration
    ) async throws {
        let apiServers = APIServerAddresses()
        let addresses = try interfaceAddresses(try effective.nodeConfiguration())
        let reading = ServiceReading(
            source: source,
            effective: effective,
            apiServers: apiServers,
            interfaceAddresses: addresses
        )
        try self.init(try await reading.read(wanted), effective, apiServers, addresses)
    }

    private init(
        _ read: ServiceReading.Result,
        _ effective: KubeProxyConfiguration,
        _ apiServers: APIServerAddresses,
        _ addresses: [IPAddress]
    ) throws {
        let configuration = try effective.nodeConfiguration()
        var state = ClusterState(
            nodeName: configuration.nodeName,
            endpointsFrom: effective.endpoints
        )
        state.replaceAll(read.objects)
        try self.init(
            state,
            localEndpoints: read.localEndpoints,
            effective,
            apiServers.all,
            addresses
        )
    }

    /// Compiles all changes of a state.
    ///
    /// - Parameters:
    ///   - apiServers: addresses and ports at which this program reaches API servers
    ///   - addresses: of the node's interfaces
    init(
        _ changed: ClusterState,
        localEndpoints: Set<IPAddress>,
        _ effective: KubeProxyConfiguration,
        _ apiServers: Set<FrontendKey>,
        _ addresses: [IPAddress]
    ) throws {
        let configuration = try effective.nodeConfiguration()
        var state = changed
        self.localEndpoints = localEndpoints
        var plans = ClusterPlans()
        view = configuration.view(
            node: state.node,
            interfaceAddresses: addresses,
            apiServers: apiServers.union(state.apiServers)
        )
        _ = plans.update(state.takeChanges().services, for: view, input: state.input)
        self.state = state
        self.plans = plans.plans.sorted { $0.service < $1.service }
        facts = configuration.facts(node: state.node, serviceCIDRs: state.serviceCIDRs)
        var diagnostics = plans.diagnostics
        // `render` may be asked about a node other than this one.
        let isHere = view.primaryAddresses.contains(where: addresses.contains)
        let listening = isHere ? ListeningSockets.read() : ListeningSockets()
        for plan in self.plans {
            let name = ObjectName(plan.service)
            diagnostics[name, default: []] += OccupiedPorts(plan, on: view)
                .diagnostics(of: name, listening)
        }
        self.diagnostics = diagnostics
    }
}

/// Returns this node's addresses.
///
/// If they cannot be read, the result is empty if the configuration does not need them; otherwise
/// this throws.
func interfaceAddresses(_ configuration: NodeConfiguration) throws -> [IPAddress] {
    do {
        return try readInterfaceAddresses()
    } catch {
        if configuration.followsInterfaces { throw error }
        return []
    }
}

func readInterfaceAddresses() throws -> [IPAddress] {
    do {
        return try InterfaceAddresses.read(except: Mode.device)
    } catch {
        throw Failure("\(error)")
    }
}

/// Reads the manifests once; any error is final.
func readManifests(_ path: String) throws -> [KubernetesObject] {
    var source = ManifestSource(path: path)
    let (objects, errors) = source.load()
    guard errors.isEmpty else {
        throw Failure(errors.map(\.description))
    }
    return objects
}
