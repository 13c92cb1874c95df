internal import Glibc
package import Logging
package import ServicePlan
internal import Synchronization
internal import Threads

/// Serves NodePorts on 127.0.0.1 and ::1 (KEP-6032), for TCP and UDP, from one thread.
///
/// The kernel cannot send a packet from 127.0.0.1 to a pod without `route_localnet`, which would
/// expose programs that listen on loopback to the node's neighbours (CVE-2020-8558). The forwarder
/// therefore listens there itself and connects to an endpoint as a process of the node. It does not
/// listen on a port without endpoints, so the kernel refuses clients there.
package final class LocalhostForwarder: Sendable {
    /// The limits on what may be open at a time, and on waiting for endpoints.
    package struct Limits: Sendable {
        /// The number of TCP connections; each may hold up to 32 KiB for slow receivers.
        package var connections = 2048
        /// The number of UDP clients for which answers are expected; a new client replaces an idle
        /// one.
        package var sessions = 4096
        /// The number of descriptors, including listening sockets.
        ///
        /// Nil means the limit of the process, less a reserve for its other parts.
        package var descriptors: Int?
        /// The time within which an endpoint must accept a connection.
        package var connecting = Duration.seconds(5)

        package init() {}
    }

    /// Called on the forwarder's thread when listening on a port fails, once until it succeeds.
    package typealias OnFailure = @Sendable (_ service: String, _ note: String) -> Void

    enum Command {
        case update([String: [ForwardedPort]])
        case stop
    }

    private struct State {
        var commands: [Command] = []
        /// One end of a socket pair, if the thread is running: a byte sent into it wakes the
        /// thread.
        var bell: Int32?
        var hasStopped = false
    }

    private let limits: Limits
    private let onFailure: OnFailure
    private let logger: Logger
    private let box = StatisticsBox()
    private let state = Mutex(State())

    package init(
        limits: Limits = Limits(),
        onFailure: @escaping OnFailure,
        logger: Logger
    ) {
        (self.limits, self.onFailure, self.logger) = (limits, onFailure, logger)
    }

    package var statistics: ForwarderStatistics { box.current }

    /// Updates the ports of some Services, keyed by name; an empty list removes all ports of a
    /// Service.
    ///
    /// TCP connections go on until they end, as they do in the kernel. UDP clients whose endpoint
    /// is gone get another one.
    package func update(_ changes: [String: [ForwardedPort]]) {
        state.withLock { state in
            let isNeeded = state.bell != nil || changes.values.contains { !$0.isEmpty }
            guard isNeeded, !state.hasStopped else { return }
            if state.bell == nil { state.bell = start() }
            send(.update(changes), &state)
        }
    }

    /// Closes all sockets and ends the thread.
    package func stop() {
        state.withLock { state in
            if state.bell != nil, !state.hasStopped { send(.stop, &state) }
            state.hasStopped = true
        }
    }

    deinit {
        // The thread sees that the other end of its socket pair is closed.
        if let bell = state.withLock(\.bell) { close(bell) }
    }

    private func send(_ command: Command, _ state: inout State) {
        state.commands.append(command)
        var byte: UInt8 = 1
        if let bell = state.bell { _ = Glibc.send(bell, &byte, 1, Int32(MSG_NOSIGNAL)) }
    }

    fileprivate func takeCommands() -> [Command] {
        state.withLock { state in
            defer { state.commands = [] }
            return state.commands
        }
    }

    /// Starts the thread, in the network namespace of the caller of the first `update` with a port.
    private func start() -> Int32 {
        var pair: [Int32] = [-1, -1]
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        socketpair(AF_UNIX, Int32(type), 0, &pair)
        let wait = pair[1]
        startThread { [weak self, limits, box, onFailure, logger] in
            let loop = ForwarderLoop(limits, bell: wait, box, onFailure, logger)
            // If the forwarder no longer exists, the loop gets a stop command.
            while loop.run({ self?.takeCommands() ?? [.stop] }) {}
            loop.closeEverything()
        }
        return pair[0]
    }
}
