import Foundation
import Observability
import Testing

@Suite struct MetricsTests {
    private let metrics = ProxyMetrics(version: "1.0", mode: "nftables")

    private static let exponential = (0..<15).map { 0.001 * pow(2, Double($0)) }
    private static let programming =
        [0.25, 0.5] + (1...59).map(Double.init) + stride(from: 60.0, through: 115, by: 5)
        + stride(from: 120.0, through: 300, by: 30)

    /// The metrics of `pkg/proxy/metrics/metrics.go`, without those that only make sense in mode
    /// iptables.
    private static let inventory:
        [(name: String, type: String, labels: [String], buckets: [Double])] =
            [
                ("sync_proxy_rules_duration_seconds", "histogram", ["ip_family"], exponential),
                ("sync_full_proxy_rules_duration_seconds", "histogram", ["ip_family"], exponential),
                (
                    "sync_partial_proxy_rules_duration_seconds", "histogram", ["ip_family"],
                    exponential
                ),
                ("sync_proxy_rules_last_timestamp_seconds", "gauge", ["ip_family"], []),
                ("sync_proxy_rules_last_queued_timestamp_seconds", "gauge", ["ip_family"], []),
                ("network_programming_duration_seconds", "histogram", ["ip_family"], programming),
                ("sync_proxy_rules_endpoint_changes_pending", "gauge", [], []),
                ("sync_proxy_rules_endpoint_changes_total", "counter", [], []),
                ("sync_proxy_rules_service_changes_pending", "gauge", [], []),
                ("sync_proxy_rules_service_changes_total", "counter", [], []),
                ("proxy_healthz_total", "counter", ["code"], []),
                ("proxy_livez_total", "counter", ["code"], []),
                (
                    "sync_proxy_rules_no_local_endpoints_total", "gauge",
                    ["traffic_policy", "ip_family"], []
                ),
                ("sync_proxy_rules_nftables_sync_failures_total", "counter", ["ip_family"], []),
                ("sync_proxy_rules_nftables_cleanup_failures_total", "counter", ["ip_family"], []),
                (
                    "conntrack_reconciler_sync_duration_seconds", "histogram", ["ip_family"],
                    exponential
                ),
                ("conntrack_reconciler_deleted_entries_total", "counter", ["ip_family"], []),
            ]

    @Test func `kube-proxy's metrics have their types, labels and buckets`() throws {
        metrics.elements.replace([(["frontends", "IPv4"], 1)])
        let text = Exposition.text(metrics.all, openMetrics: false)
        let lines = text.split(separator: "\n").map(String.init)
        for (short, type, labels, buckets) in Self.inventory {
            let name = "kubeproxy_\(short)"
            #expect(lines.contains("# TYPE \(name) \(type)"), "\(name)")
            let samples = lines.filter {
                $0.hasPrefix(name + (type == "histogram" ? "_bucket" : "")) && !$0.hasPrefix("#")
            }
            let first = try #require(samples.first, "\(name) has no sample")
            for label in labels { #expect(first.contains("\(label)=\""), "\(first)") }
            guard !buckets.isEmpty else { continue }
            let edges = samples.filter { $0.contains("IPv4") }.compactMap { line in
                line.firstMatch(of: /le="([^"]+)"/).flatMap { Double($0.1) }
            }
            #expect(edges.count == buckets.count + 1, "\(name)")
            for (edge, bucket) in zip(edges, buckets) { #expect(abs(edge - bucket) < 1e-9) }
        }
    }

    @Test func `both formats are what their specifications say`() throws {
        metrics.syncDuration.observe(0.003, "IPv4")
        metrics.syncDuration.observe(100, "IPv4")
        metrics.healthz.add(2, "200")
        let openMetrics = Exposition.text(metrics.all, openMetrics: true)
        #expect(openMetrics.hasSuffix("# EOF\n"))
        #expect(openMetrics.contains("# TYPE kubeproxy_proxy_healthz counter\n"))
        #expect(openMetrics.contains("kubeproxy_proxy_healthz_total{code=\"200\"} 2\n"))
        let plain = Exposition.text(metrics.all, openMetrics: false)
        #expect(plain.contains("# TYPE kubeproxy_proxy_healthz_total counter\n"))
        let name = "kubeproxy_sync_proxy_rules_duration_seconds"
        #expect(plain.contains("\(name)_bucket{ip_family=\"IPv4\",le=\"0.002\"} 0\n"))
        #expect(plain.contains("\(name)_bucket{ip_family=\"IPv4\",le=\"0.004\"} 1\n"))
        #expect(plain.contains("\(name)_bucket{ip_family=\"IPv4\",le=\"+Inf\"} 2\n"))
        #expect(plain.contains("\(name)_count{ip_family=\"IPv4\"} 2\n"))
        var seen: Set<String> = []
        for line in plain.split(separator: "\n") where line.hasPrefix("# TYPE ") {
            #expect(seen.insert(String(line)).inserted, "\(line) twice")
        }
        for line in plain.split(separator: "\n") where !line.hasPrefix("#") {
            #expect(
                line.wholeMatch(of: /[a-z_]+(\{([a-z_]+="[^"]*",?)+\})? [0-9.e+-]+/) != nil,
                "\(line)"
            )
        }
    }

    @Test func `label values are escaped`() {
        let gauge = Gauge("g", "of \\ and\nlines", labels: ["l"])
        gauge.set(1.5, "a\"b\\c\nd")
        #expect(
            Exposition.text([gauge], openMetrics: false)
                == "# HELP g of \\\\ and\\nlines\n# TYPE g gauge\ng{l=\"a\\\"b\\\\c\\\\nd\"} 1.5\n"
        )
    }
}
