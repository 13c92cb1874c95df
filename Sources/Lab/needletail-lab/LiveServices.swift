internal import EmbeddedAPIServer
internal import FoundationEssentials
internal import NetworkTypes

/// The Services of the lab that is up, as its API server has them.
struct LiveServices {
    /// The annotation of nodes that says which kind of network the lab has.
    static let networkAnnotation = "needletail-lab/network"

    private let services: [JSONValue]
    private let slices: [JSONValue]
    private let network: NetworkKind?

    init(_ topology: LiveTopology) throws {
        let client = try topology.place("client")
        services = try Self.list("/api/v1/services", from: client)
        slices = try Self.list("/apis/discovery.k8s.io/v1/endpointslices", from: client)
        network = try Self.list("/api/v1/nodes", from: client).first
            .flatMap { $0["metadata"]["annotations"][Self.networkAnnotation].string }
            .flatMap { NetworkKind(rawValue: $0) }
    }

    private static func list(
        _ path: String,
        from place: LiveTopology.Place
    ) throws -> [JSONValue] {
        let server = try FrontendKey(Topology.apiAddress, .tcp, Topology.apiPort)
        guard let body = try HTTPRequest(path: path).body(of: server, from: place.namespace)
        else { throw LabError("the lab's API server does not answer") }
        let list = try JSONDecoder().decode(JSONValue.self, from: Data(body.utf8))
        return list["items"].array ?? []
    }

    var text: String {
        let title = network.map { "network \($0.rawValue): \($0.summary)" }
        return ([title].compactMap(\.self) + services.flatMap(lines)).joined(separator: "\n")
    }

    private func lines(_ service: JSONValue) -> [String] {
        let metadata = service["metadata"]
        let spec = service["spec"]
        let name = metadata["name"].string ?? ""
        let namespace = metadata["namespace"].string ?? ""
        let policy = spec["externalTrafficPolicy"].string.map { ", policy \($0)" } ?? ""
        let cluster = (spec["clusterIPs"].array ?? []).compactMap(\.string)
        let external = (service["status"]["loadBalancer"]["ingress"].array ?? [])
            .compactMap { $0["ip"].string }
        let endpoints = slices.filter {
            $0["metadata"]["namespace"].string == namespace
                && $0["metadata"]["labels"]["kubernetes.io/service-name"].string == name
        }.flatMap { $0["endpoints"].array ?? [] }.compactMap {
            $0["targetRef"]["name"].string ?? $0["addresses"].array?.first?.string
        }
        var known: Set<String> = []
        let names = endpoints.filter { known.insert($0).inserted }
        return [
            "\(namespace)/\(name), \(spec["type"].string ?? "ClusterIP")\(policy)",
            "  addresses  \((cluster + external).joined(separator: " "))",
            "  ports      \((spec["ports"].array ?? []).map(Self.port).joined(separator: ", "))",
            "  endpoints  \(names.isEmpty ? "none" : names.joined(separator: " "))",
        ]
    }

    private static func port(_ port: JSONValue) -> String {
        let name = port["name"].string.map { "\($0) " } ?? ""
        let nodePort = port["nodePort"].integer.map { " (node port \($0))" } ?? ""
        return "\(name)\(port["port"].integer ?? 0)/\(port["protocol"].string ?? "TCP")\(nodePort)"
    }
}
