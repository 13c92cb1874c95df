package import NetworkTypes
package import Reconciler

/// What is read when somebody asks for the metrics, rather than counted as it happens.
extension ProxyMetrics {
    /// Sets the connection counts by `namespace/name`: the busiest Services alone, the rest
    /// together.
    package func setConnections(_ counts: [String: UInt64], atMost limit: Int) {
        let sorted = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        var values = sorted.prefix(limit).map { service, count in
            let name = service.split(separator: "/", maxSplits: 1).map(String.init)
            return (labels: [name.first ?? "", name.last ?? ""], value: Double(count))
        }
        let rest = sorted.dropFirst(limit).reduce(0) { $0 + $1.value }
        if sorted.count > limit { values.append((labels: ["", "other"], value: Double(rest))) }
        serviceConnections.replace(values)
    }

    /// Sets the state of connection tracking.
    ///
    /// - Parameter failures: the counters that `conntrack -S` shows, by the same names
    package func setTracking(entries: UInt32, limit: UInt32, failures: [String: UInt64]) {
        trackedConnections.set(Double(entries))
        trackedLimit.set(Double(limit))
        trackingFailures.replace(
            failures.sorted { $0.key < $1.key }.map { ([$0.key], Double($0.value)) }
        )
    }

    /// Sets the counters of the forwarder for NodePorts on localhost.
    package func setLocalhost(
        listeners: [IPFamily: Int],
        listenFailures: [IPFamily: Int],
        open: [TransportProtocol: Int],
        opened: [TransportProtocol: Int],
        failures: [String: Int]
    ) {
        let byFamily = { (counts: [IPFamily: Int]) in
            IPFamily.allCases.map { ([$0.kubernetesName], Double(counts[$0] ?? 0)) }
        }
        let byProtocol = { (counts: [TransportProtocol: Int]) in
            [TransportProtocol.tcp, .udp].map { (["\($0)"], Double(counts[$0] ?? 0)) }
        }
        localhostListeners.replace(byFamily(listeners))
        localhostListenFailures.replace(byFamily(listenFailures))
        localhostConnections.replace(byProtocol(open))
        localhostConnectionsTotal.replace(byProtocol(opened))
        localhostFailures.replace(
            ["endpoint", "limit"].map { ([$0], Double(failures[$0] ?? 0)) }
        )
    }

    /// Sets the bytes that were exchanged with API servers, by kind of object.
    package func setTraffic(received: [String: Int], sent: [String: Int]) {
        for (metric, bytes) in [(apiReceived, received), (apiSent, sent)] {
            metric.replace(bytes.sorted { $0.key < $1.key }.map { ([$0.key], Double($0.value)) })
        }
    }

    /// Sets how far the start has come.
    package func setStart(_ figures: StartProgress.Figures) {
        let phases = [
            ("lists", figures.lists), ("first_services", figures.firstServices),
            ("all", figures.all),
        ]
        startDuration.replace(
            phases.compactMap { phase, took in took.map { ([phase], $0.seconds) } }
        )
        startPending.set(Double(max(0, figures.services - figures.programmed)))
    }

    /// Sets how much the journal has.
    ///
    /// - Parameter since: the time from which on it knows everything, in seconds since 1970
    package func setJournal(entries: Int, bytes: Int, since: Double?) {
        journalEntries.set(Double(entries))
        journalBytes.set(Double(bytes))
        if let since { journalSince.set(since) }
    }
}
