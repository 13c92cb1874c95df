import Observability
import Reconciler
import Testing

/// What the metrics and the status say about a start, and about what was exchanged with API servers.
@Suite struct StartFigureTests {
    private let metrics = ProxyMetrics(version: "1", mode: "nftables")

    private func samples(_ name: String) -> [String] {
        Exposition.text(metrics.all, openMetrics: false).split(separator: "\n").map(String.init)
            .filter { $0.hasPrefix(name) }
    }

    @Test func `phases appear as they are reached`() {
        var figures = StartProgress.Figures()
        metrics.setStart(figures)
        #expect(samples("needletail_start_duration_seconds").isEmpty)
        #expect(samples("needletail_start_pending") == ["needletail_start_pending_services 0"])
        (figures.lists, figures.firstServices) = (.milliseconds(1250), .milliseconds(80))
        (figures.services, figures.programmed) = (50_000, 12_000)
        metrics.setStart(figures)
        #expect(
            samples("needletail_start_duration_seconds") == [
                #"needletail_start_duration_seconds{phase="first_services"} 0.08"#,
                #"needletail_start_duration_seconds{phase="lists"} 1.25"#,
            ]
        )
        #expect(samples("needletail_start_pending") == ["needletail_start_pending_services 38000"])
        // Of Services that turned out to have nothing to program, none is pending.
        (figures.all, figures.services) = (.seconds(2), 11_999)
        metrics.setStart(figures)
        #expect(samples("needletail_start_pending") == ["needletail_start_pending_services 0"])
        #expect(samples("needletail_start_duration_seconds").count == 3)
        let start = StatusDocument.Start(figures)
        #expect(start.lists == 1.25 && start.firstServices == 0.08 && start.all == 2)
        #expect(start.services == 11_999 && start.programmed == 12_000)
    }

    @Test func `bytes are counted by kind`() {
        metrics.setTraffic(received: ["Service": 9, "Event": 3], sent: ["Service": 2])
        #expect(
            samples("needletail_api_received_bytes_total") == [
                #"needletail_api_received_bytes_total{resource="Event"} 3"#,
                #"needletail_api_received_bytes_total{resource="Service"} 9"#,
            ]
        )
        #expect(
            samples("needletail_api_sent_bytes_total") == [
                #"needletail_api_sent_bytes_total{resource="Service"} 2"#
            ]
        )
    }
}
