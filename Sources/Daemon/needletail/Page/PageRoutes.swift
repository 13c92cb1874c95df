internal import Backend
internal import Configuration
internal import KubernetesModel
internal import NetworkTypes
internal import Observability
internal import Reconciler
internal import PlanCompiler
internal import ServicePlan

/// The page to look at, and what it asks for; for clients of this node only.
struct PageRoutes {
    let reconciler: Reconciler
    let configuration: KubeProxyConfiguration
    private let questions = DeferredAnswers()

    init(reconciler: Reconciler, configuration: KubeProxyConfiguration) {
        (self.reconciler, self.configuration) = (reconciler, configuration)
    }

    func add(to routes: inout Routes) {
        let page = HTTPResponse(200, "text/html; charset=utf-8", Page.html)
        routes.getHere("/") { _ in page }
        routes.getHere("/services") { [self] in services($0) }
        routes.getHere("/explain") { [self] in explanation($0) }
    }

    // MARK: Services

    private func services(_ request: HTTPRequest) -> HTTPResponse {
        let text = request.parameters["search"] ?? ""
        return questions.answer("\(request.path)?\(request.query)") { [reconciler] in
            let list = await reconciler.withCluster { ServiceList($0.plans, matching: text) }
            return HTTPResponse(200, HTTPResponse.json, jsonText(list))
        }
    }

    // MARK: One explanation

    private struct Answer: Encodable {
        /// Nil: nobody can tell.
        let agrees: Bool?
        let text: String
        /// A picture, in SVG.
        let picture: String
    }

    private func explanation(_ request: HTTPRequest) -> HTTPResponse {
        let (target, from) = (request.parameters["target"] ?? "", request.parameters["from"] ?? "")
        return questions.answer("\(request.path)?\(request.query)") { [self] in
            do {
                let explained = try await explain(
                    try Wanted(target),
                    from: from.isEmpty ? nil : try ConnectionSource(from)
                )
                let answer = Answer(
                    agrees: explained.kernel.agrees,
                    text: explained.text,
                    picture: ExplanationPicture(explained).svg
                )
                return HTTPResponse(200, HTTPResponse.json, jsonText(answer))
            } catch {
                return HTTPResponse(400, HTTPResponse.plain, "\(error)".printable + "\n")
            }
        }
    }

    /// Explains as the command does, from the objects that the daemon has.
    private func explain(_ wanted: Wanted, from source: ConnectionSource?) async throws
        -> Explanation
    {
        let node = try configuration.nodeConfiguration()
        let addresses = try interfaceAddresses(node)
        let part = await reconciler.withCluster { cluster in
            ClusterPart(of: wanted, cluster.state, node, addresses)
        }
        let explainer = Explainer(
            snapshot: try Snapshot(
                part.state,
                localEndpoints: part.localEndpoints,
                configuration,
                reconciler.apiServers.all,
                addresses
            ),
            configuration: node,
            backend: Result { () throws(CommitError) in
                try Mode.open(configuration, DaemonLog.ofCommand)
            }
        )
        return try await explainer.explain(wanted, from: source)
    }
}

/// What an explanation needs of the cluster that the daemon knows.
private struct ClusterPart: Sendable {
    let state: ClusterState
    /// Endpoints of this node.
    let localEndpoints: Set<IPAddress>

    init(
        of wanted: Wanted,
        _ state: ClusterState,
        _ node: NodeConfiguration,
        _ addresses: [IPAddress]
    ) {
        let view = node.view(node: state.node, interfaceAddresses: addresses)
        let chosen = ServiceChoice(wanted: wanted, nodeAddresses: view.addresses)
            .names(among: state.allServices)
        self.state = state.part(chosen.union([ClusterState.apiService]))
        let endpoints = chosen.flatMap { state.input($0)?.slices ?? [] }.flatMap(\.endpoints)
        localEndpoints = Set(
            endpoints.lazy.filter { $0.place.nodeName == node.nodeName }.map(\.address)
        )
    }
}

/// Services that match a text, with what they have on this node.
struct ServiceList: Encodable {
    struct Entry: Encodable {
        struct Frontend: Encodable {
            let address: String
            let kind: String
            let port: String
        }

        let name: String
        let frontends: [Frontend]
        let endpoints: [String]
        let endpointCount: Int
    }

    static let limit = 100
    private static let shownEndpoints = 10

    let total: Int
    let matching: Int
    /// The first of those that match, by name.
    let services: [Entry]

    /// - Parameter text: a part of the name, or of the address of a frontend or an endpoint
    init(_ plans: [ServicePlan], matching text: String) {
        let found = plans.filter { Self.matches($0, text) }.sorted { $0.service < $1.service }
        (total, matching) = (plans.count, found.count)
        services = found.prefix(Self.limit).map { plan in
            let endpoints = Set(plan.pools.lazy.flatMap(\.endpoints).map(\.place)).sorted()
            return Entry(
                name: plan.service,
                frontends: plan.frontends.map { frontend in
                    Entry.Frontend(
                        address: frontend.key.description,
                        kind: frontend.kind.name,
                        port: frontend.portName
                    )
                },
                endpoints: endpoints.prefix(Self.shownEndpoints).map(\.description),
                endpointCount: endpoints.count
            )
        }
    }

    private static func matches(_ plan: ServicePlan, _ text: String) -> Bool {
        guard !text.isEmpty, !plan.service.contains(text) else { return true }
        // Addresses begin with a digit, or have a colon.
        guard text.first?.isHexDigit == true || text.contains(":") else { return false }
        return plan.frontends.contains { $0.key.description.contains(text) }
            || plan.pools.contains { $0.endpoints.contains { $0.place.description.contains(text) } }
    }
}
