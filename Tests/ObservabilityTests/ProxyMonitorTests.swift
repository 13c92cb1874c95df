import Backend
import Logging
import NetworkTypes
import Observability
@testable import Reconciler
import ServicePlan
import Synchronization
import TestSupport
import Testing

@Suite struct ProxyMonitorTests {
    private final class Told: Sendable {
        let events = Mutex<[(reason: String, action: String, text: String)]>([])
        let syncs = Mutex(0)
    }

    private let told = Told()
    private let monitor: ProxyMonitor

    init() {
        monitor = ProxyMonitor(
            ProxyMetrics(version: "1", mode: "nftables"),
            families: [.ipv4, .ipv6],
            patience: 60,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            announce: { [told] reason, action, text in
                told.events.withLock { $0.append((reason, action, text)) }
            },
            onSynced: { [told] _ in told.syncs.withLock { $0 += 1 } }
        )
    }

    private var lines: Set<String> {
        let text = Exposition.text(monitor.metrics.all, openMetrics: false)
        return Set(text.split(separator: "\n").map(String.init))
    }

    private func expect(_ wanted: String...) {
        let missing = Set(wanted).subtracting(lines)
        #expect(missing.isEmpty, "\(missing)")
    }

    private func record() -> SyncRecord {
        var record = SyncRecord()
        record.isFull = true
        record.pending.services = 3
        record.pending.endpoints = 4
        record.waited = .milliseconds(250)
        record.compiling = .milliseconds(500)
        record.committing = .milliseconds(1500)
        record.report.elementsAdded = 10
        record.report.elementsRemoved = 5
        record.report.serversChanged = 2
        record.report.staleEntriesRemoved = 7
        record.report.bytes = 1000
        record.report.connectionCleanups = [
            .ipv4: ConnectionCleanup(deleted: 6, duration: .milliseconds(2))
        ]
        return record
    }

    // pkg/proxy/metrics/metrics.go names those of kube-proxy.
    @Test func `a sync is counted in every metric that it concerns`() {
        monitor.synced(record())
        monitor.synced(record())
        let name = "kubeproxy_sync_proxy_rules"
        expect(
            "\(name)_duration_seconds_count{ip_family=\"IPv4\"} 2",
            "\(name)_duration_seconds_sum{ip_family=\"IPv6\"} 4",
            "kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"} 2",
            "kubeproxy_sync_partial_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"} 0",
            "\(name)_service_changes_total 6",
            "\(name)_endpoint_changes_total 8",
            "kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family=\"IPv4\"} 12",
            "kubeproxy_conntrack_reconciler_sync_duration_seconds_count{ip_family=\"IPv4\"} 2",
            "kubeproxy_conntrack_reconciler_sync_duration_seconds_count{ip_family=\"IPv6\"} 0"
        )
        #expect(told.syncs.withLock { $0 } == 2)
    }

    @Test func `a sync of changes is no full one`() {
        var record = record()
        record.isFull = false
        monitor.synced(record)
        expect(
            "kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family=\"IPv6\"} 0",
            "kubeproxy_sync_partial_proxy_rules_duration_seconds_count{ip_family=\"IPv6\"} 1"
        )
    }

    @Test func `a change from before the start says nothing about this process`() {
        var record = record()
        record.pending.changeTimes = [1000]
        monitor.synced(record)
        expect("kubeproxy_network_programming_duration_seconds_count{ip_family=\"IPv4\"} 0")
        // The clock of the API server may be ahead.
        record.pending.changeTimes = [4_000_000_000_000]
        monitor.synced(record)
        expect(
            "kubeproxy_network_programming_duration_seconds_count{ip_family=\"IPv4\"} 1",
            "kubeproxy_network_programming_duration_seconds_sum{ip_family=\"IPv4\"} 0"
        )
    }

    @Test func `failures are counted, and a success ends what they say`() {
        let error = CommitError("no\nroom", recovery: .operatorAction("free some"))
        monitor.failed(SyncFailure(error, retryAfter: .seconds(1)))
        monitor.failed(SyncFailure(error, retryAfter: .seconds(2)))
        expect(
            "kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family=\"IPv4\"} 2",
            "kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family=\"IPv6\"} 2"
        )
        #expect(
            monitor.readyz().body == "not ready: the last sync failed: no\\nroom; free some\n"
        )
        monitor.synced(record())
        #expect(monitor.readyz().body == "ok")
    }

    @Test func `damage is not over before it is repaired`() {
        monitor.synced(record())
        monitor.foreignChange(.servers, repairAfter: .zero)
        // Other changes are committed while the repair waits.
        monitor.synced(record())
        #expect(monitor.readyz().status == 503)
        var repair = record()
        repair.isRepair = true
        monitor.synced(repair)
        #expect(monitor.readyz().status == 200)
        expect(
            "needletail_drift_repaired_total 1",
            "needletail_drift_detected_total{object=\"servers\"} 1"
        )
    }

    @Test(arguments: ForeignObject.allCases)
    func `who looks is told what was changed, and what to do`(object: ForeignObject) {
        monitor.foreignChange(object, repairAfter: .seconds(1))
        let events = told.events.withLock { $0 }
        #expect(events.map(\.reason) == ["ForeignChange"] && events.map(\.action) == ["Repair"])
        let text = events.first?.text ?? ""
        #expect(text.contains("repairs are paced"))
        #expect(text.contains("nft monitor") == (object == .table))
    }

    @Test func `what the cluster holds is shown, gaps by policy and family`() {
        var summary = ClusterSummary(missing: [.nodes])
        (summary.services, summary.endpoints) = (5, 9)
        (summary.pendingServices, summary.pendingEndpoints) = (1, 2)
        summary.localGaps = [
            LocalGap(family: .ipv4, isExternal: true): 3,
            LocalGap(family: .ipv6, isExternal: false): 4,
        ]
        monitor.update(summary)
        let name = "kubeproxy_sync_proxy_rules"
        expect(
            "\(name)_service_changes_pending 1",
            "\(name)_endpoint_changes_pending 2",
            "\(name)_no_local_endpoints_total{traffic_policy=\"external\",ip_family=\"IPv4\"} 3",
            "\(name)_no_local_endpoints_total{traffic_policy=\"internal\",ip_family=\"IPv6\"} 4",
            "\(name)_no_local_endpoints_total{traffic_policy=\"internal\",ip_family=\"IPv4\"} 0"
        )
        summary.localGaps = [:]
        monitor.update(summary)
        expect("\(name)_no_local_endpoints_total{traffic_policy=\"external\",ip_family=\"IPv4\"} 0")
    }

    @Test func `probes are counted by what they were answered`() {
        _ = (monitor.healthz(), monitor.livez())
        monitor.setEligibility("it goes")
        _ = (monitor.healthz(), monitor.livez())
        expect(
            "kubeproxy_proxy_healthz_total{code=\"200\"} 1",
            "kubeproxy_proxy_healthz_total{code=\"503\"} 1",
            "kubeproxy_proxy_livez_total{code=\"200\"} 2"
        )
        #expect(monitor.isHealthy)
    }
}
