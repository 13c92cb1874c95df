internal import Backend
internal import Configuration
internal import KubernetesClient
internal import KubernetesModel
internal import LocalhostForwarding
internal import Logging
internal import Observability
internal import Reconciler
internal import Threads

/// The parts of the daemon that hear of each sync: health, metrics, events, localhost forwarding, and
/// those who wait for a bell.
struct ProxyOutlets {
    let monitor: ProxyMonitor
    let server: HTTPServer
    let forwarder: LocalhostForwarder
    /// Rings after each sync.
    let synced = Bell()
    /// Rings after each sync of everything.
    let fullySynced = Bell()
    /// Rings when the kernel's counts are to be read.
    let look = Bell()

    init(
        _ configuration: KubeProxyConfiguration,
        _ metrics: ProxyMetrics,
        _ backend: any Backend,
        _ recorder: EventRecorder?,
        tell: @escaping NodeNews,
        _ logger: Logger
    ) {
        let server = HTTPServer(
            maximumConnections: DescriptorLimit.connections(of: DescriptorLimit.raise())
        )
        let forwarder = LocalhostForwarder(
            onFailure: { service, note in
                let reason = "FailedToListenOnLocalhost"
                recorder?.record(reason, "Listen", service: ObjectName(service), note)
            },
            logger: logger
        )
        let health = Late<ServiceHealth>()
        let monitor = ProxyMonitor(
            metrics,
            families: backend.families,
            patience: configuration.patience,
            logger: logger,
            announce: { tell(NodeEvent(.warning, $0, $1, $2)) },
            onSynced: { [synced, fullySynced, look] record in
                health.value?.update(record.healthChecks, addresses: record.nodePortAddresses)
                for (service, uid, diagnostic) in record.news {
                    recorder?.record(diagnostic, of: service, uid)
                }
                forwarder.update(record.forwardedPorts)
                synced.ring()
                look.ring()
                if record.isFull { fullySynced.ring() }
            }
        )
        health.value = ServiceHealth(
            server,
            isProxyHealthy: { monitor.isHealthy },
            onFailure: { service, error in
                let reason = "FailedToStartServiceHealthcheck"
                recorder?.record(reason, "Listen", service: ObjectName(service), "\(error)")
            },
            logger: logger
        )
        (self.monitor, self.server, self.forwarder) = (monitor, server, forwarder)
    }
}
