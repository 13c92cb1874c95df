internal import Configuration
internal import FoundationEssentials
internal import KubernetesClient
internal import NetworkTypes
internal import PlanCompiler

/// How this node's cluster was made, and how it reaches its API server.
struct ClusterFacts {
    private let node: Result<NodeDescription, Failure>?
    private let server: String?

    /// Asks the API server for this node's object.
    init(_ source: SourceOptions, _ configuration: KubeProxyConfiguration) async {
        guard source.manifests == nil else {
            (node, server) = (nil, nil)
            return
        }
        server = try? source.credentials(configuration.clientConnection.kubeconfig).server
        do {
            let name = try configuration.nodeConfiguration().nodeName
            let answer = try await source.client(configuration).send("GET", "/api/v1/nodes/\(name)")
            node = .success(try JSONDecoder().decode(NodeDescription.self, from: Data(answer)))
        } catch {
            node = .failure(Failure("\(error)"))
        }
    }

    private var distribution: Distribution? {
        if case .success(let node) = node { Distribution(node) } else { nil }
    }

    var finding: PreflightFinding {
        switch node {
        case nil:
            return PreflightFinding(.ok, "cluster", "manifests instead of an API server")
        case .failure(let error):
            return PreflightFinding(
                .warning,
                "cluster",
                "this node's object cannot be read, so nobody can tell how the cluster was made: \(error)"
            )
        case .success(let node):
            let parts = [
                node.info.kubeletVersion, node.info.osImage, node.info.containerRuntimeVersion,
            ].filter { !$0.isEmpty }
            let versions = parts.isEmpty ? "" : " (\(parts.joined(separator: ", ")))"
            guard let distribution = Distribution(node) else {
                return PreflightFinding(
                    .ok,
                    "cluster",
                    "made in a way that the node does not tell\(versions): docs/install"
                )
            }
            return PreflightFinding(
                .ok,
                "cluster",
                "\(distribution.name)\(versions): \(distribution.page)"
            )
        }
    }

    /// The host, an IPv6 address without brackets, and the port of the API server's URL.
    private var place: (host: String, port: Int)? {
        guard let url = server.flatMap(URL.init(string:)), let host = url.host() else { return nil }
        return (host, url.port ?? (url.scheme == "https" ? 443 : 80))
    }

    /// Whether the daemon would need itself to reach the API server.
    func addressFindings(_ blocks: [IPPrefix]) -> [PreflightFinding] {
        guard let address = place.flatMap({ IPAddress($0.host) }),
            blocks.contains(where: { $0.contains(address) })
        else { return [] }
        return [
            PreflightFinding(
                .problem,
                "API",
                "\(address) is a cluster IP, which works only while a proxy runs: name an address of the API"
                    + " server itself (the chart's apiServer.host, KUBERNETES_SERVICE_HOST or a kubeconfig)"
            )
        ]
    }

    func nextCommands(_ configuration: KubeProxyConfiguration) -> [String] {
        guard let distribution else { return [] }
        let steps = distribution.switchCommands
        if distribution.keepsDaemonSet {
            return steps + ["kubectl -n kube-system rollout status daemonset/kube-proxy"]
                + Self.proof
        }
        let place = place.map { "--set apiServer.host=\($0.host) --set apiServer.port=\($0.port)" }
        let blocks = configuration.clusterCIDR.split(separator: ",").joined(separator: "\\,")
        let install = [
            "helm install needletail manifests/chart -n kube-system --set image.repository=registry.example/needletail",
            place ?? "", blocks.isEmpty ? "" : "--set clusterCIDR=\(blocks)",
            configuration.proxyMode == .ipvs ? "--set mode=ipvs" : "",
        ].filter { !$0.isEmpty }.joined(separator: " ")
        return steps
            + [install, "kubectl -n kube-system rollout status daemonset/needletail"] + Self.proof
    }

    private static let proof = [
        "needletail preflight --verify      # on each node, with the same flags"
    ]
}
