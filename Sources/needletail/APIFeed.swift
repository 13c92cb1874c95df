internal import ClusterStore
internal import KubernetesClient
internal import KubernetesModel
internal import Logging
internal import PlanCompiler
internal import ServiceLifecycle

/// Feeds the store from an API server.
struct APIFeed: ServiceLifecycle.Service {
    private let client: APIClient
    private let nodeName: String
    private let store: ClusterStore
    private let logger: Logger

    init(_ source: SourceOptions, nodeName: String, store: ClusterStore, logger: Logger) throws {
        client = try source.client()
        self.nodeName = nodeName
        self.store = store
        self.logger = logger
        if client.credentials.skipsVerification {
            logger.warning(
                "the API server's certificate is not verified (insecure-skip-tls-verify)"
            )
        }
    }

    func run() async throws {
        await withDiscardingTaskGroup { group in
            group.addTask {
                await informer(KubernetesModel.Service.self).run { event in
                    await store.update(completing: event.completes(.services)) { state in
                        switch event {
                        case .replaced(let list): state.replaceServices(list)
                        case .set(let service): state.set(service)
                        case .removed(let service): state.removeService(service.name)
                        }
                    }
                }
            }
            group.addTask {
                await informer(EndpointSlice.self).run { event in
                    await store.update(completing: event.completes(.endpointSlices)) { state in
                        switch event {
                        case .replaced(let list): state.replaceEndpointSlices(list)
                        case .set(let slice): state.set(slice)
                        case .removed(let slice): state.removeEndpointSlice(slice.name)
                        }
                    }
                }
            }
            group.addTask {
                await informer(Node.self).run { event in
                    await store.update(completing: event.completes(.nodes)) { state in
                        switch event {
                        case .replaced(let list): state.set(list.last)
                        case .set(let node): state.set(node)
                        case .removed: state.set(Node?.none)
                        }
                    }
                }
            }
            group.addTask {
                await informer(ServiceCIDR.self, isOptional: true).run { event in
                    await store.update(completing: event.completes(.serviceCIDRs)) { state in
                        switch event {
                        case .replaced(let list): state.replaceServiceCIDRs(list)
                        case .set(let cidr): state.set(cidr)
                        case .removed(let cidr): state.removeServiceCIDR(cidr.name)
                        }
                    }
                }
            }
            try? await gracefulShutdown()
            group.cancelAll()
        }
    }

    private func informer<Object: Resource>(
        _: Object.Type,
        isOptional: Bool = false
    ) -> Informer<Object> {
        Informer(client, nodeName: nodeName, isOptional: isOptional, logger: logger)
    }
}

extension Informer.Event {
    fileprivate func completes(_ list: ClusterStore.List) -> ClusterStore.List? {
        if case .replaced = self { return list }
        return nil
    }
}

extension SourceOptions {
    func client() throws -> APIClient {
        do throws(ClientError) {
            if let kubeconfig {
                return APIClient(try .kubeconfig(path: kubeconfig, master: master))
            }
            if let master { return APIClient(Credentials(server: master)) }
            return APIClient(try .inCluster())
        } catch {
            throw Failure("\(error)")
        }
    }
}

/// Reads everything once, from where the options say; any error is final.
func readObjects(
    _ source: SourceOptions,
    _ node: NodeOptions
) async throws -> [KubernetesObject] {
    if let path = source.manifests { return try readManifests(path) }
    let client = try source.client()
    let name = try node.configuration().nodeName
    do throws(ClientError) {
        var objects = try await client.list(KubernetesModel.Service.self, nodeName: name).objects
            .map(KubernetesObject.service)
        objects += try await client.list(EndpointSlice.self, nodeName: name).objects
            .map(KubernetesObject.endpointSlice)
        objects += try await client.list(Node.self, nodeName: name).objects
            .map(KubernetesObject.node)
        do throws(ClientError) {
            objects += try await client.list(ServiceCIDR.self, nodeName: name).objects
                .map(KubernetesObject.serviceCIDR)
        } catch  where error.isNotFound {}
        return objects
    } catch {
        throw Failure("\(error)")
    }
}
