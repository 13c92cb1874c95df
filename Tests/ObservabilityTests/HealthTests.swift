import BinarySupport
import Backend
import Logging
import NetworkTypes
import Observability
import Reconciler
import ServicePlan
import Synchronization
import Testing

@Suite struct HealthTests {
    private let start = ContinuousClock.now
    private var health: ProxyHealth

    init() { health = ProxyHealth(families: [.ipv4, .ipv6], patience: 60, now: start) }

    private func after(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }

    /// Returns a moment that is some seconds after the start.
    ///
    /// - Parameter time: the wall clock at that moment, in seconds since 1970
    private func moment(_ seconds: Double, time: Double? = nil) -> Moment {
        Moment(instant: after(seconds), time: time ?? 1000 + seconds)
    }

    // pkg/proxy/healthcheck/proxy_health.go
    @Test mutating func `an update that waits too long is unhealthy until it is served`() {
        #expect(health.isHealthy(at: after(4000)), "nothing was asked for yet")
        health.queued(at: after(4000))
        health.queued(at: after(4059))
        #expect(health.isHealthy(at: after(4060)))
        #expect(!health.isHealthy(at: after(4060.1)))
        health.updated(at: after(4061))
        #expect(health.isHealthy(at: after(9999)))
    }

    @Test mutating func `the bodies are kube-proxy's`() {
        health.updated(at: after(100))
        health.queued(at: after(200))
        let livez = health.answer(withEligibility: false, at: moment(300))
        #expect(livez.status == 503 && livez.contentType == "application/json")
        #expect(
            livez.body
                == #"{"currentTime":"1970-01-01T00:21:40.000000Z","healthy":false,"lastUpdated":"#
                + #""1970-01-01T00:18:20.000000Z","status":{"IPv4":{"healthy":false,"lastUpdated":"#
                + #""1970-01-01T00:18:20.000000Z"},"IPv6":{"healthy":false,"lastUpdated":"#
                + #""1970-01-01T00:18:20.000000Z"}}}"#
        )
    }

    // A node without a hardware clock begins in 1970, until it finds a time server.
    @Test(arguments: [-1e9, -3600, 3600, 1.7e9])
    mutating func `a clock that is set changes neither health nor ages`(jump: Double) {
        health.updated(at: after(10))
        health.queued(at: after(100))
        for (seconds, isHealthy) in [(101.0, true), (159, true), (161, false)] {
            let now = moment(seconds, time: 2e9 + jump + seconds)
            let answer = health.answer(withEligibility: false, at: now)
            #expect((answer.status == 200) == isHealthy)
        }
        let now = moment(161, time: 2e9 + jump)
        #expect(now.time(of: after(10)) == 2e9 + jump - 151)
        health.updated(at: after(162))
        #expect(health.answer(withEligibility: true, at: moment(163, time: 0)).status == 200)
    }

    @Test mutating func `a node that goes away is not eligible, though healthy`() {
        health.reasonNotEligible = "it goes"
        let healthz = health.answer(withEligibility: true, at: moment(0))
        #expect(healthz.status == 503)
        #expect(healthz.body.contains(#""healthy":true"#))
        #expect(healthz.body.contains(#""nodeEligible":false"#))
        #expect(health.answer(withEligibility: false, at: moment(0)).status == 200)
    }

    @Test func `readiness follows what the kernel holds`() {
        let told = Mutex<[String]>([])
        let monitor = ProxyMonitor(
            ProxyMetrics(version: "1", mode: "nftables"),
            families: [.ipv4],
            patience: 60,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            announce: { reason, _, _ in told.withLock { $0.append(reason) } },
            onSynced: { _ in }
        )
        #expect(monitor.readyz().body == "not ready: the first sync is not done\n")
        #expect(
            monitor.readyz(awaiting: [.services, .endpoints]).body
                == "not ready: the first sync is not done; waiting for the lists of endpoints, services\n"
        )
        var record = SyncRecord()
        record.isFull = true
        monitor.synced(record)
        #expect(monitor.readyz().status == 200)
        for _ in 0..<5 { monitor.foreignChange(.table, repairAfter: .zero) }
        #expect(
            monitor.readyz().body.contains(
                "another program has changed needletail's tables in nf_tables"
            )
        )
        #expect(told.withLock(\.self) == ["ForeignChange"], "told once")
        record.isRepair = true
        monitor.synced(record)
        #expect(monitor.readyz().status == 200)
        monitor.failed(
            SyncFailure(CommitError("no room", recovery: .retry), retryAfter: .seconds(1))
        )
        #expect(monitor.readyz().body == "not ready: the last sync failed: no room\n")
        let text = Exposition.text(monitor.metrics.all, openMetrics: false)
        #expect(text.contains("needletail_drift_detected_total{object=\"table\"} 5\n"))
        #expect(text.contains("needletail_drift_repaired_total 1\n"))
    }
}

@Suite struct ServiceHealthTests {
    @Test(arguments: [["a", "b"], ["b", "a"]])
    func `a port goes to its next owner, whichever change comes first`(order: [String]) throws {
        let server = HTTPServer()
        defer { server.stop() }
        let failed = Mutex(false)
        let health = ServiceHealth(
            server,
            isProxyHealthy: { true },
            onFailure: { _, _ in failed.withLock { $0 = true } },
            logger: Logger(label: "test")
        )
        let loopback = [IPAddress(ipv4: 0x7F00_0001)]
        // It is not known beforehand which port is free; those above are given to anybody.
        let port = (20000..<32768).shuffled().prefix(50).lazy.map(UInt16.init).first { port in
            failed.withLock { $0 = false }
            let check = HealthCheck(port: port, localEndpoints: 1)
            health.update(["test/a": check], addresses: loopback)
            return !failed.withLock { $0 }
        }
        let used = try #require(port)
        for name in order {
            let check = name == "b" ? HealthCheck(port: used, localEndpoints: 2) : nil
            health.update(["test/\(name)": check], addresses: loopback)
        }
        let answer = try HTTPProbe.exchange("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", port: used)
        #expect(answer?.contains(#""name": "b""#) == true, "\(answer ?? "")")
    }
}
