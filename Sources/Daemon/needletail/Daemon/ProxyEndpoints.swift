internal import Reconciler
internal import Configuration
internal import FoundationEssentials
internal import Journal
internal import KubernetesClient
internal import KubernetesModel
internal import LocalhostForwarding
internal import Logging
internal import Netlink
internal import NetworkTypes
internal import Observability
internal import ServiceLifecycle

/// The HTTP paths that this daemon serves, and their answers.
///
/// Every answer is made from published values, without asking the actors: a busy actor must not
/// delay health, metrics or status.
struct ProxyEndpoints {
    let monitor: ProxyMonitor
    let reconciler: Reconciler
    let forwarder: LocalhostForwarder
    let configuration: KubeProxyConfiguration
    let nodeName: String
    /// Whether there should be a Node object for this node in the API.
    let hasNode: Bool
    let view: APIView
    /// Nil if there is no API server.
    let traffic: APITraffic?
    let journal: Journal
    /// Asks for another reading of the kernel's counts, which the next request will get.
    let lookAgain: @Sendable () -> Void

    var servers: [ServedAddress] {
        [
            ListenAddress(configuration.healthzAddress).map {
                ServedAddress(
                    address: $0,
                    what: "health (healthzBindAddress)",
                    failure: "FailedToStartProxierHealthcheck",
                    routes: healthRoutes
                )
            },
            ListenAddress(configuration.metricsAddress).map {
                ServedAddress(
                    address: $0,
                    what: "metrics and status (metricsBindAddress)",
                    failure: "FailedToStartMetricServer",
                    routes: metricsRoutes
                )
            },
        ].compactMap(\.self)
    }

    private var healthRoutes: Routes {
        var routes = Routes(counting: monitor.metrics.httpRequests)
        routes.get("/healthz") { [self] _ in
            checkEligibility()
            return monitor.healthz()
        }
        routes.get("/livez") { [monitor] _ in monitor.livez() }
        routes.get("/readyz") { [self] _ in readyz() }
        return routes
    }

    private var metricsRoutes: Routes {
        var routes = Routes(counting: monitor.metrics.httpRequests)
        let alive = HTTPResponse(200, HTTPResponse.plain, "ok")
        routes.get("/healthz") { _ in alive }
        routes.get("/healthz/ping") { _ in alive }
        routes.get("/readyz") { [self] _ in readyz() }
        routes.get("/metrics") { [self] request in
            refresh()
            defer { lookAgain() }
            return Routes.exposition(
                monitor.metrics.all,
                accept: request.headers["accept"] ?? ""
            )
        }
        routes.get("/metrics/slis") { [monitor] request in
            monitor.updateReadiness()
            return Routes.exposition(
                [monitor.metrics.healthcheck],
                accept: request.headers["accept"] ?? ""
            )
        }
        let configz = "{\"kubeproxy.config.k8s.io\":\(configuration.json)}"
        for (path, type, text) in [
            ("/proxyMode", HTTPResponse.plain, configuration.proxyMode.rawValue),
            ("/configz", HTTPResponse.json, configz),
            ("/flagz", HTTPResponse.plain, configuration.flagText),
        ] { routes.get(path) { _ in HTTPResponse(200, type, text) } }
        routes.get("/statusz") { [self] _ in
            HTTPResponse(200, HTTPResponse.plain, StatusText.lines(status()).joined())
        }
        routes.get("/status") { [self] _ in HTTPResponse(200, HTTPResponse.json, status().json) }
        HistoryRoutes(journal: journal, reconciler: reconciler, nodeName: nodeName).add(to: &routes)
        PageRoutes(reconciler: reconciler, configuration: configuration).add(to: &routes)
        if configuration.enableProfiling {
            routes.put("/debug/flags/v") { request in Self.setVerbosity(request) }
        }
        return routes
    }

    private static func setVerbosity(_ request: HTTPRequest) -> HTTPResponse {
        guard let verbosity = Int(String(decoding: request.body, as: UTF8.self).trimmed) else {
            return HTTPResponse(
                400,
                HTTPResponse.plain,
                "the body must be the verbosity, a whole number: 2 and more are debug messages\n"
            )
        }
        DaemonLog.setVerbosity(verbosity)
        return HTTPResponse(
            200,
            HTTPResponse.plain,
            "successfully set klog.logging.verbosity to \(verbosity)"
        )
    }

    private func checkEligibility() {
        let summary = reconciler.summary
        guard hasNode, summary.arrived.contains(.nodes) else { return }
        monitor.setEligibility(
            summary.node.map {
                $0.isLeaving
                    ? "Node \(nodeName) is being deleted, or the cluster autoscaler will remove it"
                    : nil
            } ?? "the API has no Node \(nodeName); is --hostname-override the Node's name?"
        )
    }

    private func readyz() -> HTTPResponse { monitor.readyz(awaiting: reconciler.summary.missing) }

    private func status() -> StatusDocument {
        checkEligibility()
        var status = monitor.status(
            version: Needletail.version,
            mode: configuration.proxyMode.rawValue,
            node: nodeName,
            reconciler.summary,
            viewAge: view.kinds.compactMapValues { $0.age?.seconds }
        )
        status.start = StatusDocument.Start(reconciler.progress.figures)
        status.traffic = traffic.map {
            StatusDocument.Traffic(received: $0.total.received, sent: $0.total.sent)
        }
        status.history = StatusDocument.History(journal)
        return status
    }

    /// Updates the metrics that are not counted as things happen.
    private func refresh() {
        monitor.update(reconciler.summary)
        let kinds = view.kinds
        monitor.metrics.viewAge.replace(
            kinds.compactMap { kind, state in state.age.map { ([kind], $0.seconds) } }
        )
        monitor.metrics.followed.replace(kinds.map { ([$0.key], $0.value.isFollowed ? 1 : 0) })
        monitor.metrics.unreadable.replace(kinds.map { ([$0.key], Double($0.value.unreadable)) })
        monitor.metrics.setStart(reconciler.progress.figures)
        if let kinds = traffic?.kinds {
            monitor.metrics.setTraffic(
                received: kinds.mapValues(\.received),
                sent: kinds.mapValues(\.sent)
            )
        }
        let kept = journal.figures
        let now = Moment.now
        monitor.metrics.setJournal(
            entries: kept.count,
            bytes: kept.bytes,
            since: kept.since.map { now.time(of: $0) }
        )
        let forwarded = forwarder.statistics
        monitor.metrics.setLocalhost(
            listeners: forwarded.listeners,
            listenFailures: forwarded.listenFailures,
            open: forwarded.open,
            opened: forwarded.opened,
            failures: Dictionary(
                uniqueKeysWithValues: forwarded.failures.map { ($0.key.rawValue, $0.value) }
            )
        )
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
    }
}
