internal import Reconciler
internal import Configuration
internal import KubernetesClient
internal import Logging
internal import ManifestSource
internal import ServiceLifecycle

/// Watches the file of `--config`: applies settings that can change while the daemon runs, and
/// keeps the last good configuration while the file is bad.
struct ConfigurationWatch: ServiceLifecycle.Service {
    private let file: String
    private let flags: GivenFlags
    private let running: KubeProxyConfiguration
    private let reconciler: Reconciler
    private let logger: Logger
    private let tell: NodeNews
    private let changes: AsyncStream<Void>

    init(
        _ file: String,
        _ flags: GivenFlags,
        running: KubeProxyConfiguration,
        reconciler: Reconciler,
        logger: Logger,
        tell: @escaping NodeNews
    ) throws {
        (self.file, self.flags, self.running, self.reconciler) = (file, flags, running, reconciler)
        (self.logger, self.tell) = (logger, tell)
        do {
            changes = try ManifestSource(path: file).changes()
        } catch {
            throw Failure("\(error)")
        }
    }

    func run() async throws {
        var state = State(inForce: running)
        state.notices = (try? EffectiveConfiguration(file: file, flags: flags))?.notices ?? []
        for await _ in changes.cancelOnGracefulShutdown() {
            await read(&state)
        }
    }

    /// The result of the last reading, since one change of the file may cause several
    /// notifications.
    private struct State {
        var inForce: KubeProxyConfiguration
        /// Why the file could not be used; nil if it could.
        var fault: String?
        var notices: [String] = []
    }

    private func read(_ state: inout State) async {
        let effective: EffectiveConfiguration
        do {
            effective = try EffectiveConfiguration(file: file, flags: flags)
        } catch {
            let note = "\(error); what was configured before stays in force"
            guard note != state.fault else { return }
            state.fault = note
            logger.error("\(note)")
            return tell(NodeEvent(.warning, "InvalidConfiguration", "Reload", note))
        }
        if state.fault != nil {
            state.fault = nil
            logger.notice("\(file) can be used again")
        }
        for notice in effective.notices where !state.notices.contains(notice) {
            logger.notice("\(notice)")
        }
        state.notices = effective.notices
        await apply(effective.value, &state.inForce)
    }

    private func apply(
        _ new: KubeProxyConfiguration,
        _ inForce: inout KubeProxyConfiguration
    ) async {
        let changed = Setting.all.filter { $0.differs(inForce, new) }
        guard !changed.isEmpty else { return }
        inForce = new
        if changed.contains(where: \.isLive) {
            DaemonLog.setVerbosity(new.logging.verbosity)
            // All other settings must stay as they were when the daemon started.
            if let node = try? running.applyingLive(of: new).nodeConfiguration() {
                await reconciler.configure(node)
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
