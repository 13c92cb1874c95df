internal import Glibc
package import Logging
package import ServicePlan
internal import Synchronization
internal import Threads

/// Serves NodePorts on 127.0.0.1 and ::1 (KEP-6032), for TCP and UDP, from one thread.
///
/// The kernel cannot send a packet from 127.0.0.1 to a pod without `route_localnet`, which would expose
/// what listens on loopback to the node's neighbours (CVE-2020-8558). So this listens there, and
/// connects to an endpoint as a process of the node. A port without endpoints is not listened on: it
/// refuses.
package final class LocalhostForwarder: Sendable {
    /// How much may be open at a time.
    package struct Limits: Sendable {
        /// Connections of TCP; each may hold 32 KiB that its receiver does not take.
        package var connections = 2048
        /// Clients of UDP that answers are kept for; the one that was quiet longest makes way.
        package var sessions = 4096
        /// Descriptors, those of listening sockets included; nil: what the process may have, but for
        /// a reserve for the rest of it.
        package var descriptors: Int?

        package init() {}
    }

    /// Called on the forwarder's thread when a port cannot be listened on; once until it can.
    package typealias OnFailure = @Sendable (_ service: String, _ note: String) -> Void

    enum Command {
        case update([String: [ForwardedPort]])
        case stop
    }

    private struct State {
        var commands: [Command] = []
        /// A pair of sockets, when there is a thread: a byte into the first rings it.
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

    /// Takes over the ports of some Services; an empty list: it has none any more.
    ///
    /// Connections of TCP go on until they end, as those in the kernel do; clients of UDP move with
    /// the endpoints.
    package func update(_ changes: [String: [ForwardedPort]]) {
        state.withLock { state in
            let isNeeded = state.bell != nil || changes.values.contains { !$0.isEmpty }
            guard isNeeded, !state.hasStopped else { return }
            if state.bell == nil { state.bell = start() }
            send(.update(changes), &state)
        }
    }

    /// Closes everything.
    package func stop() {
        state.withLock { state in
            if state.bell != nil, !state.hasStopped { send(.stop, &state) }
            state.hasStopped = true
        }
    }

    deinit {
        // The thread sees the end of its bell.
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

    /// Starts the thread; it runs in the network namespace of whoever first has a port for it.
    private func start() -> Int32 {
        var pair: [Int32] = [-1, -1]
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        socketpair(AF_UNIX, Int32(type), 0, &pair)
        let wait = pair[1]
        startThread { [weak self, limits, box, onFailure, logger] in
            let loop = ForwarderLoop(limits, bell: wait, box, onFailure, logger)
            // The forwarder's end comes as a command, before it is gone.
            while loop.run({ self?.takeCommands() ?? [.stop] }) {}
            loop.closeEverything()
        }
        return pair[0]
    }
}
