internal import ClusterStore
internal import Configuration
internal import KubernetesModel
internal import ManifestSource
internal import NetworkTypes
internal import IPVS
internal import Netlink
internal import PlanCompiler
internal import ServicePlan

/// Desired state as of one moment, for the commands that do not stay.
struct Snapshot {
    let plans: [ServicePlan]
    let facts: NodeFacts
    let diagnostics: [Diagnostic]
    let state: ClusterState
    let view: NodeView

    /// - Parameter objects: read already; nil: reads them from the source
    init(
        _ source: SourceOptions,
        _ effective: KubeProxyConfiguration,
        objects: [KubernetesObject]? = nil
    ) async throws {
        let configuration = try effective.nodeConfiguration()
        var state = ClusterState(
            nodeName: configuration.nodeName,
            endpointsFrom: effective.endpoints
        )
        if let objects {
            state.replaceAll(objects)
        } else {
            state.replaceAll(try await readObjects(source, effective))
        }
        let addresses = try interfaceAddresses(configuration)
        var plans = ClusterPlans()
        view = configuration.view(node: state.node, interfaceAddresses: addresses)
        _ = plans.update(state.takeChanges().services, for: view, input: state.input)
        self.state = state
        self.plans = plans.plans.values.sorted { $0.service < $1.service }
        facts = configuration.facts(node: state.node, serviceCIDRs: state.serviceCIDRs)
        diagnostics = plans.diagnostics.sorted { $0.key < $1.key }.flatMap(\.value)
    }
}

/// This node's addresses, if the configuration asks for them.
func interfaceAddresses(_ configuration: NodeConfiguration) throws -> [IPAddress] {
    configuration.followsInterfaces ? try readInterfaceAddresses() : []
}

func readInterfaceAddresses() throws -> [IPAddress] {
    do {
        return try InterfaceAddresses.read(except: VirtualDevice.name)
    } catch {
        throw Failure("\(error)")
    }
}

/// Reads manifests once; any error is final.
func readManifests(_ path: String) throws -> [KubernetesObject] {
    var source = ManifestSource(path: path)
    let (objects, errors) = source.load()
    guard errors.isEmpty else {
        throw Failure(errors.map(\.description))
    }
    return objects
}
