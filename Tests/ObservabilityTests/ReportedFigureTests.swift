import BinarySupport
import Logging
import NetworkTypes
import Observability
import ServicePlan
import Synchronization
import Testing

/// Figures and answers that users of other proxies have missed; numbers are Kubernetes' issues.
@Suite struct ReportedFigureTests {
    private let metrics = ProxyMetrics(version: "1", mode: "nftables")

    private func samples(_ name: String) -> [String] {
        Exposition.text(metrics.all, openMetrics: false).split(separator: "\n").map(String.init)
            .filter { $0.hasPrefix(name) }
    }

    // #9125: connections by Service, without a label for every Service of a large cluster.
    @Test func `the busiest Services are counted by name, all others together`() {
        let name = "needletail_service_connections_total"
        let sample = { (namespace: String, service: String, count: Int) in
            #"\#(name){namespace="\#(namespace)",service="\#(service)"} \#(count)"#
        }
        let counts: [String: UInt64] = ["a/quiet": 1, "a/busy": 9, "b/busy": 9, "b/calm": 2]
        metrics.setConnections(counts, atMost: 4)
        #expect(samples(name).count == 4 && samples(name).contains(sample("a", "quiet", 1)))
        metrics.setConnections(counts, atMost: 2)
        #expect(
            Set(samples(name)) == [
                sample("a", "busy", 9), sample("b", "busy", 9), sample("", "other", 3),
            ]
        )
        // Of equals the same one is named each time.
        metrics.setConnections(counts, atMost: 1)
        #expect(Set(samples(name)) == [sample("a", "busy", 9), sample("", "other", 12)])
        metrics.setConnections([:], atMost: 1)
        #expect(samples(name).isEmpty)
    }

    // #56903, #18604: a full table, and packets that lose a race for a tuple, are seen by nobody.
    @Test func `connection tracking shows its size, its limit and what it has dropped`() {
        metrics.setTracking(
            entries: 262_144,
            limit: 262_144,
            failures: ["insert_failed": 3, "drop": 5, "early_drop": 7]
        )
        #expect(samples("needletail_conntrack_entries") == ["needletail_conntrack_entries 262144"])
        #expect(samples("needletail_conntrack_limit") == ["needletail_conntrack_limit 262144"])
        let name = "needletail_conntrack_failures_total"
        #expect(
            samples(name) == [
                #"\#(name){counter="drop"} 5"#, #"\#(name){counter="early_drop"} 7"#,
                #"\#(name){counter="insert_failed"} 3"#,
            ]
        )
    }

    private final class Flags: Sendable {
        let isHealthy = Mutex(true)
        let failed = Mutex(false)
    }

    /// Opens a health check on a port that is free.
    private func opened(_ health: ServiceHealth, _ flags: Flags) -> UInt16? {
        for port in (20_000...60_000).shuffled().prefix(50).map(UInt16.init) {
            flags.failed.withLock { $0 = false }
            let check = HealthCheck(port: port, localEndpoints: 0)
            health.update(["shop/web": check], addresses: [.loopback(.ipv4)])
            if !flags.failed.withLock(\.self) { return port }
        }
        return nil
    }

    // pkg/proxy/healthcheck/service_health.go; #134648: green while rules are missing.
    @Test func `a health check is green if the proxy is healthy and an endpoint is ready here`()
        throws
    {
        let server = HTTPServer()
        defer { server.stop() }
        let flags = Flags()
        let health = ServiceHealth(
            server,
            isProxyHealthy: { flags.isHealthy.withLock(\.self) },
            onFailure: { _, _ in flags.failed.withLock { $0 = true } },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        let port = try #require(opened(health, flags))
        for (count, isHealthy) in [(0, true), (3, true), (3, false), (0, false)] {
            flags.isHealthy.withLock { $0 = isHealthy }
            let check = HealthCheck(port: port, localEndpoints: count)
            health.update(["shop/web": check], addresses: [.loopback(.ipv4)])
            let request = "GET /any/path HTTP/1.1\r\nHost: localhost\r\n\r\n"
            let answer = try #require(try HTTPProbe.exchange(request, port: port))
            let status = count > 0 && isHealthy ? "200" : "503"
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(answer)")
            let headers = answer.split(separator: "\r\n").map { $0.lowercased() }
            #expect(headers.contains("content-type: application/json"))
            #expect(headers.contains("x-content-type-options: nosniff"))
            #expect(headers.contains("x-load-balancing-endpoint-weight: \(count)"))
            let body = """
                {
                \t"service": {
                \t\t"namespace": "shop",
                \t\t"name": "web"
                \t},
                \t"localEndpoints": \(count),
                \t"serviceProxyHealthy": \(isHealthy)
                }
                """
            #expect(answer.hasSuffix("\r\n\r\n" + body), "\(answer)")
        }
    }
}
