internal import ClusterStore
internal import Configuration
internal import KubernetesClient
internal import Logging
internal import ManifestSource
internal import ServiceLifecycle

/// Follows the file of `--config`: applies what can change while the daemon runs, and keeps the
/// last good configuration when the file is bad.
struct ConfigurationWatch: ServiceLifecycle.Service {
    private let file: String
    private let flags: GivenFlags
    private let running: KubeProxyConfiguration
    private let store: ClusterStore
    private let logger: Logger
    private let tell: NodeNews
    private let changes: AsyncStream<Void>

    init(
        _ file: String,
        _ flags: GivenFlags,
        running: KubeProxyConfiguration,
        store: ClusterStore,
        logger: Logger,
        tell: @escaping NodeNews
    ) throws {
        (self.file, self.flags, self.running, self.store) = (file, flags, running, store)
        (self.logger, self.tell) = (logger, tell)
        do {
            changes = try ManifestSource(path: file).changes()
        } catch {
            throw Failure("\(error)")
        }
    }

    func run() async throws {
        var inForce = running
        var fault: String?
        for await _ in changes.cancelOnGracefulShutdown() {
            await read(&inForce, &fault)
        }
    }

    /// - Parameter fault: why the file could not be used last; one change of it rings several times
    private func read(_ inForce: inout KubeProxyConfiguration, _ fault: inout String?) async {
        let new: KubeProxyConfiguration
        do {
            new = try EffectiveConfiguration(file: file, flags: flags).value
        } catch {
            let note = "\(error); what was configured before stays in force"
            guard note != fault else { return }
            fault = note
            logger.error("\(note)")
            return tell(NodeEvent(.warning, "InvalidConfiguration", "Reload", note))
        }
        if fault != nil {
            fault = nil
            logger.notice("\(file) can be used again")
        }
        let changed = Setting.all.filter { $0.differs(inForce, new) }
        guard !changed.isEmpty else { return }
        inForce = new
        if changed.contains(where: \.isLive) {
            DaemonLog.setVerbosity(new.logging.verbosity)
            // Of the rest nothing may follow a file that has changed.
            if let node = try? running.applyingLive(of: new).nodeConfiguration() {
                await store.configure(node)
            }
            let names = changed.filter(\.isLive).map(\.path).joined(separator: ", ")
            logger.notice("\(file): applied \(names)")
            tell(NodeEvent(.normal, "ConfigurationReloaded", "Reload", "applied \(names)"))
        }
        let late = changed.filter { !$0.isLive }.map(\.path)
        guard !late.isEmpty else { return }
        let note = "\(late.joined(separator: ", ")): changed in \(file); needs a restart"
        logger.warning("\(note)")
        tell(NodeEvent(.warning, "RestartNeeded", "Reload", note))
    }
}
