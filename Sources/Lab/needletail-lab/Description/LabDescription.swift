internal import EmbeddedAPIServer
internal import NetworkTypes

/// A lab as somebody describes it, by a file and flags.
struct LabDescription {
    /// What flags of the command line say; nil is nothing.
    struct Flags {
        var network: NetworkKind?
        var nodes: Int?
        var mode: ProxyMode?
    }

    var network: NetworkKind
    var mode: ProxyMode
    var layout: ClusterLayout
    var services = DescribedServices()
    var ingress: [IngressRule] = []

    /// Makes the description of a lab without a file: the Services of the demonstration.
    init(_ flags: Flags = Flags()) {
        network = flags.network ?? .bridge
        mode = flags.mode ?? .nftables
        layout = ClusterLayout(nodeCount: flags.nodes ?? 3)
    }

    /// The objects in the order of creation.
    func objects(_ pods: [Topology.Pod]) -> [JSONValue] {
        let answering = pods.filter { $0.name != layout.ingress }
        return services.isSample
            ? SampleServices(pods: answering).objects : services.objects(pods)
    }

    var loadBalancers: [String: String] {
        services.isSample ? SampleServices.loadBalancers : [:]
    }

    /// An address and a port to try, if there is a Service.
    var example: String? {
        services.isSample
            ? "\(SampleServices.clusterIP):80"
            : services.list.lazy.compactMap(\.frontends.first).first.map { "\($0.place)" }
    }
}

/// The Services of a lab, as its file describes them.
struct DescribedServices {
    /// Whether the file leaves them to the lab.
    var isSample = true
    var list: [DescribedService] = []
    /// EndpointSlices of the file's own.
    var slices: [JSONValue] = []
    /// What manifests have that a lab does not use.
    var leftOut: [String] = []

    func objects(_ pods: [Topology.Pod]) -> [JSONValue] {
        list.flatMap { service in
            let endpoints = pods.filter { service.endpoints.contains($0.name) }
            return [service.object] + service.slices(endpoints)
        } + slices
    }
}

/// One Service, and the pods behind it.
struct DescribedService {
    let object: JSONValue
    let families: [IPFamily]
    /// The names of pods.
    let endpoints: [String]
    /// The ports of its EndpointSlices.
    let endpointPorts: JSONValue

    var name: String { object["metadata"]["name"].string ?? "" }
    var namespace: String { object["metadata"]["namespace"].string ?? "" }

    fileprivate func slices(_ pods: [Topology.Pod]) -> [JSONValue] {
        guard endpointPorts != .null else { return [] }
        return ServiceObjects.slices(
            name,
            pods,
            namespace: namespace,
            ports: endpointPorts,
            families
        )
    }

    /// Its cluster IPs, with its first port over TCP.
    var frontends: [FrontendKey] {
        let ports = object["spec"]["ports"].array ?? []
        guard let port = ports.first(where: { $0["protocol"] != "UDP" })?["port"].integer else {
            return []
        }
        let addresses = object["spec"]["clusterIPs"].array ?? [object["spec"]["clusterIP"]]
        return addresses.compactMap { $0.string.flatMap { IPAddress($0) } }
            .map { FrontendKey($0, .tcp, UInt16(clamping: port)) }
    }
}

/// The addresses that the lab gives to the Services of a file, in their order.
struct ServiceAddresses {
    static let mostServices = 200
    /// The last part of the addresses.
    let number: Int

    init(position: Int) { number = 10 + position }

    func clusterIP(_ family: IPFamily) -> String {
        (family == .ipv4 ? "10.96.0." : "fd96::") + "\(number)"
    }

    var loadBalancerIP: String { "203.0.113.\(number)" }

    /// Returns the node port of a Service's port by its position.
    func nodePort(_ position: Int) -> Int { 30_080 + 10 * (number - 10) + position }

    /// Gives a Service the addresses and node ports that it does not have.
    func complete(_ object: JSONValue, _ families: [IPFamily]) -> JSONValue {
        var object = object
        let type = object["spec"]["type"].string ?? "ClusterIP"
        guard type != "ExternalName" else { return object }
        if object["spec"]["clusterIP"] == .null, object["spec"]["clusterIPs"] == .null {
            let addresses = families.map { JSONValue.string(clusterIP($0)) }
            object["spec"]["clusterIP"] = addresses.first ?? .null
            object["spec"]["clusterIPs"] = .array(addresses)
        }
        guard type != "ClusterIP" else { return object }
        let ports = object["spec"]["ports"].array ?? []
        object["spec"]["ports"] = .array(
            ports.enumerated().map { position, port in
                var port = port
                if port["nodePort"] == .null {
                    port["nodePort"] = .integer(Int64(nodePort(position)))
                }
                return port
            }
        )
        if type == "LoadBalancer", object["status"] == .null {
            let address = object["spec"]["loadBalancerIP"].string ?? loadBalancerIP
            object["status"] = ServiceObjects.status(loadBalancerIP: address)["status"]
        }
        return object
    }
}
