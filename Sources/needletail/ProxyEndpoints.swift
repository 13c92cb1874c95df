internal import ClusterStore
internal import Configuration
internal import FoundationEssentials
internal import KubernetesClient
internal import KubernetesModel
internal import Logging
internal import NFTablesKernel
internal import Netlink
internal import NetworkTypes
internal import Observability
internal import ServiceLifecycle
internal import ServicePlan

/// What this daemon answers, and where.
struct ProxyEndpoints {
    let monitor: ProxyMonitor
    let store: ClusterStore
    let dataplane: OpenDataplane
    let configuration: KubeProxyConfiguration
    let nodeName: String
    /// Whether the cluster has a Node for us.
    let hasNode: Bool
    let view: APIView

    /// The address of each server, with the event that tells of its failure.
    var addresses: [(address: ListenAddress, failure: String, routes: Routes)] {
        [
            (configuration.healthzAddress, "FailedToStartProxierHealthcheck", healthRoutes),
            (configuration.metricsAddress, "FailedToStartMetricServer", metricsRoutes),
        ].compactMap { text, failure, routes in
            ListenAddress(text).map { ($0, failure, routes) }
        }
    }

    private var healthRoutes: Routes {
        var routes = Routes(counting: monitor.metrics.httpRequests)
        routes.get("/healthz") { [self] _ in
            .later {
                await checkEligibility()
                return monitor.healthz()
            }
        }
        routes.get("/livez") { [monitor] _ in .now(monitor.livez()) }
        routes.get("/readyz") { [monitor] _ in .now(monitor.readyz()) }
        return routes
    }

    private var metricsRoutes: Routes {
        var routes = Routes(counting: monitor.metrics.httpRequests)
        let alive = HTTPResponse(200, HTTPResponse.plain, "ok")
        routes.get("/healthz") { _ in .now(alive) }
        routes.get("/healthz/ping") { _ in .now(alive) }
        routes.get("/readyz") { [monitor] _ in .now(monitor.readyz()) }
        routes.get("/metrics") { [self] request in
            .later {
                await refresh()
                return Routes.exposition(
                    monitor.metrics.all,
                    accept: request.headers["accept"] ?? ""
                )
            }
        }
        routes.get("/metrics/slis") { [monitor] request in
            monitor.updateReadiness()
            return .now(
                Routes.exposition(
                    [monitor.metrics.healthcheck],
                    accept: request.headers["accept"] ?? ""
                )
            )
        }
        let configz = "{\"kubeproxy.config.k8s.io\":\(configuration.json)}"
        for (path, type, text) in [
            ("/proxyMode", HTTPResponse.plain, configuration.proxyMode.rawValue),
            ("/configz", HTTPResponse.json, configz),
            ("/flagz", HTTPResponse.plain, configuration.flagText),
        ] { routes.get(path) { _ in .now(HTTPResponse(200, type, text)) } }
        routes.get("/statusz") { [self] _ in
            .later {
                HTTPResponse(200, HTTPResponse.plain, StatusText.lines(await status()).joined())
            }
        }
        routes.get("/status") { [self] _ in
            .later { HTTPResponse(200, HTTPResponse.json, await status().json) }
        }
        if configuration.enableProfiling {
            routes.put("/debug/flags/v") { request in .now(Self.setVerbosity(request)) }
        }
        return routes
    }

    private static func setVerbosity(_ request: HTTPRequest) -> HTTPResponse {
        guard let verbosity = Int(String(decoding: request.body, as: UTF8.self).trimmed) else {
            return .refusal(400)
        }
        DaemonLog.setVerbosity(verbosity)
        return HTTPResponse(
            200,
            HTTPResponse.plain,
            "successfully set klog.logging.verbosity to \(verbosity)"
        )
    }

    private func checkEligibility() async {
        let summary = await store.summary
        guard hasNode, summary.arrived.contains(.nodes) else { return }
        monitor.setEligibility(
            summary.node.map { $0.isLeaving ? "the node is about to go" : nil }
                ?? "the API has no Node \(nodeName)"
        )
    }

    private func status() async -> StatusDocument {
        await checkEligibility()
        return monitor.status(
            version: Needletail.version,
            mode: configuration.proxyMode.rawValue,
            node: nodeName,
            await store.summary,
            viewAge: view.kinds.compactMapValues { $0.age?.seconds }
        )
    }

    /// Reads what is not counted as it happens.
    private func refresh() async {
        let summary = await store.summary
        monitor.update(summary)
        let kinds = view.kinds
        monitor.metrics.viewAge.replace(
            kinds.compactMap { kind, state in state.age.map { ([kind], $0.seconds) } }
        )
        monitor.metrics.followed.replace(kinds.map { ([$0.key], $0.value.isFollowed ? 1 : 0) })
        monitor.metrics.unreadable.replace(kinds.map { ([$0.key], Double($0.value.unreadable)) })
        let limit = configuration.needletail.serviceMetrics
        if limit > 0 {
            let counts = await dataplane.active.connectionCounts()
            monitor.metrics.setConnections(counts, atMost: limit)
        }
        if let tracking = try? TrackingStatistics.read() {
            monitor.metrics.setTracking(
                entries: tracking.entries,
                limit: tracking.limit,
                failures: [
                    "drop": tracking.dropped, "insert_failed": tracking.insertFailed,
                    "early_drop": tracking.earlyDropped,
                ]
            )
        }
        monitor.metrics.elements.replace(
            await dataplane.nftables.elementCounts().map {
                ([$0.set, $0.family.kubernetesName], Double($0.count))
            }
        )
    }
}

/// Opens the servers' addresses, and tries again what cannot be opened.
struct Listening: ServiceLifecycle.Service {
    let server: HTTPServer
    let addresses: [(address: ListenAddress, failure: String, routes: Routes)]
    let isFatal: Bool
    let recorder: EventRecorder?
    let nodeName: String
    let logger: Logger

    func run() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            for (address, failure, routes) in addresses {
                group.addTask { try await open(address, failure, routes) }
            }
        }
        try? await gracefulShutdown()
    }

    private func open(_ address: ListenAddress, _ failure: String, _ routes: Routes) async throws {
        var isTold = false
        while !Task.isCancelled, !Task.isShuttingDownGracefully {
            do throws(ListenError) {
                try server.listen(on: address) { routes.answer($0) }
                return
            } catch {
                if !isTold {
                    logger.error("\(error)\(isFatal ? "" : "; trying again every 5 seconds")")
                    recorder?.record(
                        NodeEvent(.warning, failure, "StartKubeProxy", "\(error)"),
                        node: nodeName
                    )
                    isTold = true
                }
                if isFatal { throw Failure("\(error)") }
                try? await cancelWhenGracefulShutdown { try await Task.sleep(for: .seconds(5)) }
            }
        }
    }
}
