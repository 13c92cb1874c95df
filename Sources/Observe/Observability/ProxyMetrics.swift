/// All metrics: those of kube-proxy under its names (`pkg/proxy/metrics/metrics.go`), and those of
/// needletail.
package struct ProxyMetrics: Sendable {
    private static let families = [["IPv4"], ["IPv6"]]
    /// The bucket bounds in seconds: 1 ms, doubled 14 times.
    private static let latencies = (0..<15).map { 0.001 * Double(1 << $0) }
    private static let programmingLatencies =
        [0.25, 0.5] + (1...59).map(Double.init) + stride(from: 60.0, through: 115, by: 5)
        + stride(from: 120.0, through: 300, by: 30)

    // MARK: kube-proxy's

    package let syncDuration = Histogram(
        "kubeproxy_sync_proxy_rules_duration_seconds",
        "How long a sync took.",
        buckets: latencies,
        labels: ["ip_family"],
        initial: families
    )
    package let fullSyncDuration = Histogram(
        "kubeproxy_sync_full_proxy_rules_duration_seconds",
        "How long a full sync took, which compares everything with the kernel.",
        buckets: latencies,
        labels: ["ip_family"],
        initial: families
    )
    package let partialSyncDuration = Histogram(
        "kubeproxy_sync_partial_proxy_rules_duration_seconds",
        "How long a sync of changes took.",
        buckets: latencies,
        labels: ["ip_family"],
        initial: families
    )
    package let lastSync = Gauge(
        "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
        "When a sync last succeeded.",
        labels: ["ip_family"],
        initial: families
    )
    package let lastQueued = Gauge(
        "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
        "When a sync was last requested.",
        labels: ["ip_family"],
        initial: families
    )
    package let programmingDuration = Histogram(
        "kubeproxy_network_programming_duration_seconds",
        "From a change of endpoints in the cluster to its programming in this kernel.",
        buckets: programmingLatencies,
        labels: ["ip_family"],
        initial: families
    )
    package let endpointChangesPending = Gauge(
        "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
        "Changes of endpoints that are not programmed yet."
    )
    package let endpointChanges = Counter(
        "kubeproxy_sync_proxy_rules_endpoint_changes_total",
        "Changes of endpoints that were programmed."
    )
    package let serviceChangesPending = Gauge(
        "kubeproxy_sync_proxy_rules_service_changes_pending",
        "Changes of Services that are not programmed yet."
    )
    package let serviceChanges = Counter(
        "kubeproxy_sync_proxy_rules_service_changes_total",
        "Changes of Services that were programmed."
    )
    package let healthz = Counter(
        "kubeproxy_proxy_healthz_total",
        "Answers of /healthz by status.",
        labels: ["code"],
        initial: [["200"], ["503"]]
    )
    package let livez = Counter(
        "kubeproxy_proxy_livez_total",
        "Answers of /livez by status.",
        labels: ["code"],
        initial: [["200"], ["503"]]
    )
    package let noLocalEndpoints = Gauge(
        "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
        "Services with a traffic policy Local that have endpoints, but none on this node.",
        labels: ["traffic_policy", "ip_family"],
        initial: families.flatMap { [["external"] + $0, ["internal"] + $0] }
    )
    package let nftablesFailures = Counter(
        "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
        "Syncs that failed.",
        labels: ["ip_family"],
        initial: families
    )
    package let nftablesCleanupFailures = Counter(
        "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total",
        "Failed removals of stale objects; always 0 here, since a transaction removes them.",
        labels: ["ip_family"],
        initial: families
    )
    package let conntrackDuration = Histogram(
        "kubeproxy_conntrack_reconciler_sync_duration_seconds",
        "How long a search for stale connections took.",
        buckets: latencies,
        labels: ["ip_family"],
        initial: families
    )
    package let conntrackDeleted = Counter(
        "kubeproxy_conntrack_reconciler_deleted_entries_total",
        "Stale connections that were deleted.",
        labels: ["ip_family"],
        initial: families
    )

    package let localhostListeners = Gauge(
        "kubeproxy_nftables_localhost_nodeport_listeners",
        "Sockets that serve NodePorts on localhost over TCP and UDP, in every mode.",
        labels: ["ip_family"],
        initial: families
    )
    package let localhostListenFailures = Counter(
        "kubeproxy_nftables_localhost_nodeport_listener_creation_failures_total",
        "Failed attempts to open a socket that serves a NodePort on localhost.",
        labels: ["ip_family"],
        initial: families
    )

    // MARK: client-go's

    package let requests = Counter(
        "rest_client_requests_total",
        "Requests to the API server by method and status.",
        labels: ["code", "method", "host"]
    )
    package let requestDuration = Histogram(
        "rest_client_request_duration_seconds",
        "How long the API server took to begin its answers.",
        buckets: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60],
        labels: ["verb", "host"]
    )

    // MARK: needletail's

    package let info = Gauge(
        "needletail_build_info",
        "The version and mode; always 1.",
        labels: ["version", "mode"]
    )
    package let stageDuration = Histogram(
        "needletail_stage_duration_seconds",
        "Stages from an API event to the kernel: waiting for the previous sync, compiling, committing.",
        buckets: (0..<18).map { 0.0001 * Double(1 << $0) },
        labels: ["stage"],
        initial: [["wait"], ["compile"], ["commit"]]
    )
    package let transactionBytes = Histogram(
        "needletail_transaction_bytes",
        "Sizes of nftables transactions.",
        buckets: (0..<10).map { 256 * Double(1 << (2 * $0)) }
    )
    package let elementsChanged = Counter(
        "needletail_elements_changed_total",
        "Set elements added and removed.",
        labels: ["operation"],
        initial: [["add"], ["remove"]]
    )
    package let serversChanged = Counter(
        "needletail_ipvs_changes_total",
        "Virtual servers, destinations and addresses changed."
    )
    package let elements = Gauge(
        "needletail_elements",
        "Elements of each set, as committed. For `affinity`: at most 1,048,576, as counted by Linux from 6.16 on, or as last read.",
        labels: ["set", "ip_family"]
    )
    package let largeChangesWaiting = Gauge(
        "needletail_large_changes_waiting",
        "Services whose change has very many elements and waits, so that small changes go first."
    )
    package let services = Gauge("needletail_services", "Services seen.")
    package let endpoints = Gauge("needletail_endpoints", "Endpoints seen, in all EndpointSlices.")
    package let viewAge = Gauge(
        "needletail_api_view_age_seconds",
        "How long nothing has been received from the API server.",
        labels: ["resource"]
    )
    package let followed = Gauge(
        "needletail_api_followed",
        "Whether the objects of a kind are followed; 0 if the API server refuses or is away.",
        labels: ["resource"]
    )
    package let unreadable = Gauge(
        "needletail_unreadable_objects",
        "Objects that are set aside because they cannot be read; the log names them.",
        labels: ["resource"]
    )
    package let apiReceived = Counter(
        "needletail_api_received_bytes_total",
        "Bytes of headers and bodies from the API server, compressed bodies as they came.",
        labels: ["resource"]
    )
    package let apiSent = Counter(
        "needletail_api_sent_bytes_total",
        "Bytes of headers and bodies to the API server.",
        labels: ["resource"]
    )
    package let startDuration = Gauge(
        "needletail_start_duration_seconds",
        "How long the start took: until the lists had arrived (lists), and from then on until the"
            + " Services of the API server and DNS were programmed (first_services) and all were (all).",
        labels: ["phase"]
    )
    package let startPending = Gauge(
        "needletail_start_pending_services",
        "Services that the start still has to program; 0 from then on."
    )
    package let serviceConnections = Counter(
        "needletail_service_connections_total",
        "New connections by Service, with --service-metrics; those beyond the limit are \"other\".",
        labels: ["namespace", "service"]
    )
    package let driftDetected = Counter(
        "needletail_drift_detected_total",
        "Changes of needletail's own objects by other programs.",
        labels: ["object"],
        initial: [["table"], ["servers"], ["addresses"]]
    )
    package let driftRepaired = Counter(
        "needletail_drift_repaired_total",
        "Repairs after changes by other programs."
    )
    package let repairDuration = Histogram(
        "needletail_drift_repair_duration_seconds",
        "From noticing a change by another program to its repair, including pauses.",
        buckets: latencies
    )
    package let stale = Counter(
        "needletail_stale_entries_removed_total",
        "Stale connections and stale entries of client affinity that were deleted."
    )
    package let trackedConnections = Gauge(
        "needletail_conntrack_entries",
        "Connections that the kernel tracks on this node."
    )
    package let trackedLimit = Gauge(
        "needletail_conntrack_limit",
        "The maximum number of tracked connections (nf_conntrack_max)."
    )
    package let trackingFailures = Counter(
        "needletail_conntrack_failures_total",
        "Counters of conntrack -S: packets dropped (drop), dropped because another connection had the"
            + " same ports (insert_failed), and connections removed to make room (early_drop).",
        labels: ["counter"]
    )
    package let localhostConnections = Gauge(
        "needletail_localhost_nodeport_connections",
        "Present TCP connections and UDP clients of NodePorts on localhost.",
        labels: ["protocol"],
        initial: [["tcp"], ["udp"]]
    )
    package let localhostConnectionsTotal = Counter(
        "needletail_localhost_nodeport_connections_total",
        "TCP connections and UDP clients of NodePorts on localhost since the start.",
        labels: ["protocol"],
        initial: [["tcp"], ["udp"]]
    )
    package let localhostFailures = Counter(
        "needletail_localhost_nodeport_failures_total",
        "Failed connections of NodePorts on localhost: the endpoint was not reached (endpoint), or there were too many (limit).",
        labels: ["reason"],
        initial: [["endpoint"], ["limit"]]
    )
    package let forwardingObstacles = Gauge(
        "needletail_forwarding_obstacles",
        "Possible obstacles to forwarding to pods: sysctls, foreign chains that drop what they do not"
            + " accept, and networks that pods share with the node (needletail status names them).",
        labels: ["cause", "ip_family"],
        initial: ForwardingObstacle.Cause.allCases.flatMap { cause in
            families.map { [cause.rawValue] + $0 }
        }
    )
    package let journalEntries = Gauge(
        "needletail_journal_entries",
        "Entries of the journal (needletail history)."
    )
    package let journalBytes = Gauge(
        "needletail_journal_bytes",
        "Bytes of the journal's entries; beyond 4 MiB the oldest go."
    )
    package let journalSince = Gauge(
        "needletail_journal_since_timestamp_seconds",
        "From when on the journal knows everything that was programmed."
    )
    package let failures = Counter("needletail_sync_failures_total", "Syncs that failed.")
    package let standby = Gauge(
        "needletail_standby",
        "Whether another needletail programs this node, and this one waits for its end."
    )
    package let ready = Gauge("needletail_ready", "Whether /readyz is green.")
    package let httpRequests = Counter(
        "needletail_http_requests_total",
        "Requests to the health and metrics servers.",
        labels: ["path", "code"]
    )

    /// The check in the form of Kubernetes' `/metrics/slis`.
    package let healthcheck = Gauge(
        "kubernetes_healthcheck",
        "Whether a check is green.",
        labels: ["name", "type"],
        initial: [["programmed", "readyz"]]
    )

    package let process = ProcessMetrics()

    package init(version: String, mode: String) { info.set(1, version, mode) }

    package var all: [any MetricFamily] {
        [
            syncDuration, fullSyncDuration, partialSyncDuration, lastSync, lastQueued,
            programmingDuration, endpointChangesPending, endpointChanges, serviceChangesPending,
            serviceChanges, healthz, livez, noLocalEndpoints, nftablesFailures,
            nftablesCleanupFailures, conntrackDuration, conntrackDeleted, localhostListeners,
            localhostListenFailures, requests,
            requestDuration, info, stageDuration,
            transactionBytes, elementsChanged, serversChanged, elements, largeChangesWaiting,
            services, endpoints,
            viewAge, followed, unreadable, apiReceived, apiSent, startDuration, startPending,
            serviceConnections, driftDetected, driftRepaired,
            repairDuration, stale,
            trackedConnections, trackedLimit, trackingFailures, localhostConnections,
            localhostConnectionsTotal, localhostFailures, forwardingObstacles, journalEntries,
            journalBytes, journalSince, failures, ready, standby, httpRequests,
        ] + process.all
    }
}
