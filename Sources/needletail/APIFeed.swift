internal import ClusterStore
internal import KubernetesModel
internal import Logging
internal import ServiceLifecycle

struct APIFeed: ServiceLifecycle.Service {
    init(_ source: SourceOptions, nodeName: String, store: ClusterStore, logger: Logger) throws {
        throw Failure("needs --manifests")
    }
    func run() async throws {}
}

func readObjects(_ source: SourceOptions, _ node: NodeOptions) async throws -> [KubernetesObject] {
    guard let path = source.manifests else { throw Failure("needs --manifests") }
    return try readManifests(path)
}
