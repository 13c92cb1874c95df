internal import KubernetesClient
internal import Logging
internal import Netlink
internal import Observability

/// Lets one needletail at a time program a network namespace; others stand by.
///
/// A process that stands by follows the cluster, so that it can program at once when its turn comes.
struct Turn: Sendable {
    /// The name of the lock, which is the same in every version.
    private static let name = "needletail"

    /// How often a holder may be asked in vain who it is.
    private static let patience = 50

    private let first: NamespaceLock.Attempt
    private let monitor: ProxyMonitor
    private let tell: NodeNews
    private let logger: Logger

    /// Tries to take the turn at once, so that what is started next knows the outcome.
    init(_ monitor: ProxyMonitor, tell: @escaping NodeNews, _ logger: Logger) {
        (self.monitor, self.tell, self.logger) = (monitor, tell, logger)
        first = NamespaceLock.attempt(Self.name)
        guard case .held(let holder) = first, holder.isTrusted else { return }
        let text =
            "standby: \(holder.words) programs this node; this one changes nothing, and takes over when that one ends"
        logger.notice("\(text)")
        tell(NodeEvent(.normal, "Standby", "Wait", text))
        monitor.standBy("standby: \(holder.words) programs this node")
    }

    /// Waits for the turn, or until the task is cancelled.
    ///
    /// - Returns: what keeps the turn while it lives; nil if nothing can
    func wait() async -> NamespaceLock? {
        var attempt = first
        var silences = 0
        while !Task.isCancelled {
            switch attempt {
            case .taken(let lock):
                if monitor.isStandby {
                    logger.notice("the other needletail has ended; this one programs the node now")
                    monitor.takeCharge()
                }
                return lock
            case .held(let holder) where holder.isTrusted && silences < Self.patience:
                silences += holder.user == nil ? 1 : 0
                await holder.waitForEnd()
                attempt = NamespaceLock.attempt(Self.name)
            case .held(let holder):
                return goingOn(because: "\(holder.words) has the name @\(Self.name)")
            case .unusable(let error): return goingOn(because: "\(error)")
            }
        }
        return nil
    }

    private func goingOn(because reason: String) -> NamespaceLock? {
        logger.warning("another needletail on this node would not be noticed: \(reason)")
        monitor.takeCharge()
        return nil
    }

    /// Takes the turn for a command that does not wait.
    ///
    /// - Throws: if another needletail programs this node
    static func forCommand() throws(Failure) -> NamespaceLock? {
        switch NamespaceLock.attempt(name) {
        case .taken(let lock): return lock
        case .held(let holder) where holder.isTrusted:
            throw Failure(
                "\(holder.words) programs this node and would undo what this command does; nothing was changed. Stop it first"
            )
        case .held, .unusable: return nil
        }
    }
}

extension NamespaceLock.Holder {
    fileprivate var words: String {
        let place = process.map { "process \($0)" } ?? "in another container"
        return isTrusted
            ? "another needletail (\(place))" : "a program of user \(user ?? 0) (\(place))"
    }
}
