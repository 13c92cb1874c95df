internal import Glibc
internal import Logging
internal import NetworkTypes
internal import ServicePlan

/// The event loop on a forwarder's thread: its descriptors, and the work when one is ready.
final class ForwarderLoop {
    /// The owner of a token.
    enum Owner {
        case bell
        case port(FrontendKey)
        case side(ForwardedConnection, ForwardedConnection.End)
        case session(DatagramSession.Key)
    }

    /// A port to serve; it has no socket while listening fails.
    struct Port {
        var service: String
        var choice: EndpointChoice
        var socket: (descriptor: Int32, token: UInt64)?
        /// The time at which listening is tried again.
        var retry: ContinuousClock.Instant?
        /// Whether accepting is suspended until the next tick because descriptors ran out.
        var isPaused = false
    }

    let limits: LocalhostForwarder.Limits
    let descriptors: Int
    let bell: Int32
    let box: StatisticsBox
    let onFailure: LocalhostForwarder.OnFailure
    let logger: Logger
    let poller = Poller()
    var owners: [UInt64: Owner] = [:]
    var services: [String: [ForwardedPort]] = [:]
    var ports: [FrontendKey: Port] = [:]
    var connections: [ObjectIdentifier: ForwardedConnection] = [:]
    var sessions: [DatagramSession.Key: DatagramSession] = [:]
    var listening = 0
    /// The time of this round.
    var now: ContinuousClock.Instant
    var random = SystemRandomNumberGenerator()
    /// The buffer for forwarded data, large enough for any datagram.
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    private let clock: () -> ContinuousClock.Instant
    private var lastTick: ContinuousClock.Instant

    /// The interval of timed work.
    private static let tick = Duration.seconds(1)
    private static let retryPause = Duration.seconds(5)

    init(
        _ limits: LocalhostForwarder.Limits,
        bell: Int32,
        _ box: StatisticsBox,
        _ onFailure: @escaping LocalhostForwarder.OnFailure,
        _ logger: Logger,
        clock: @escaping () -> ContinuousClock.Instant = { .now }
    ) {
        (self.limits, self.bell, self.box) = (limits, bell, box)
        (self.onFailure, self.logger, self.clock) = (onFailure, logger, clock)
        now = clock()
        lastTick = now
        descriptors = limits.descriptors ?? Self.availableDescriptors(limits)
        let token = poller.makeToken()
        owners[token] = .bell
        poller.watch(bell, token, for: .reading, before: [])
    }

    deinit { buffer.deallocate() }

    /// Returns the number of descriptors to use: the limit of this process minus a reserve.
    ///
    /// The limit is raised first if necessary and allowed.
    private static func availableDescriptors(_ limits: LocalhostForwarder.Limits) -> Int {
        let reserve: UInt = 512
        let wanted = 2 * UInt(limits.connections) + UInt(limits.sessions) + 2 * reserve
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        getrlimit(resource, &limit)
        if limit.rlim_cur < wanted, limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = min(wanted, limit.rlim_max)
            setrlimit(resource, &limit)
            getrlimit(resource, &limit)
        }
        return Int(clamping: limit.rlim_cur) - Int(min(reserve, limit.rlim_cur / 2))
    }

    /// The number of descriptors in use by this loop.
    var usedDescriptors: Int { listening + 2 * connections.count + sessions.count }

    /// Waits for events and handles them; returns whether the loop should go on.
    func run(_ takeCommands: () -> [LocalhostForwarder.Command]) -> Bool {
        let isTimed =
            !connections.isEmpty || !sessions.isEmpty
            || ports.values.contains { $0.retry != nil || $0.isPaused }
        let ready = poller.wait(milliseconds: isTimed ? 1000 : -1)
        now = clock()
        for (token, readiness) in ready {
            switch owners[token] {
            case .bell: guard obey(takeCommands) else { return false }
            case .port(let key) where key.transport == .udp: receive(key)
            case .port(let key): accept(key)
            case .side(let connection, let end): serve(connection, end, readiness)
            case .session(let key): answer(key)
            case nil: break
            }
        }
        if isTimed, now - lastTick >= Self.tick {
            lastTick = now
            expireConnections()
            expireSessions()
            for (key, port) in ports {
                if let retry = port.retry, retry <= now { listen(key) }
                if port.isPaused { resume(key) }
            }
        }
        return true
    }

    func closeEverything() {
        for key in ports.keys { stopListening(key) }
        for connection in connections.values { drop(connection, reset: true) }
        for key in sessions.keys { drop(key) }
        close(bell)
    }

    private func obey(_ takeCommands: () -> [LocalhostForwarder.Command]) -> Bool {
        while recv(bell, buffer.baseAddress, 64, 0) == 64 {}
        for command in takeCommands() {
            guard case .update(let changes) = command else { return false }
            for (service, ports) in changes { update(service, ports) }
        }
        return true
    }

    // MARK: Ports

    private func update(_ service: String, _ new: [ForwardedPort]) {
        // No socket listens on a port without endpoints, so that the kernel refuses clients.
        let new = new.filter { !$0.endpoints.isEmpty }
        let old = services[service] ?? []
        services[service] = new.isEmpty ? nil : new
        for port in old where !new.contains(where: { $0.key == port.key }) {
            // Another Service may have taken over the port since then.
            guard ports[port.key]?.service == service else { continue }
            stopListening(port.key)
            ports[port.key] = nil
            dropSessions(of: port.key) { _ in true }
        }
        for port in new {
            if ports[port.key] == nil {
                ports[port.key] = Port(service: service, choice: EndpointChoice(port))
                listen(port.key)
            } else {
                ports[port.key]?.service = service
                ports[port.key]?.choice.update(port)
                dropSessions(of: port.key) { !port.endpoints.contains($0.endpoint) }
            }
        }
    }

    private func listen(_ key: FrontendKey) {
        guard let port = ports[key] else { return }
        switch open(key) {
        case .success(let descriptor):
            let token = poller.makeToken()
            owners[token] = .port(key)
            poller.watch(descriptor, token, for: .reading, before: [])
            ports[key]?.socket = (descriptor, token)
            ports[key]?.retry = nil
            listening += 1
            box.update { $0.listeners[key.address.family, default: 0] += 1 }
            logger.debug("NodePort \(key) of Service \(port.service) is forwarded")
        case .failure(let error):
            box.update { $0.listenFailures[key.address.family, default: 0] += 1 }
            if port.retry == nil {
                let note =
                    "NodePort \(key) is not served on localhost: \(error); tried again every 5 seconds"
                logger.warning("Service \(port.service): \(note)")
                onFailure(port.service, note)
            }
            ports[key]?.retry = now + Self.retryPause
        }
    }

    private struct ListenFailure: Error, CustomStringConvertible {
        let code: Int32

        var description: String {
            let advice =
                switch code {
                case EADDRINUSE: "; another program listens there"
                case EADDRNOTAVAIL: "; this node has no such address (ip link set lo up)"
                case EMFILE: "; raise the limit of open files (RLIMIT_NOFILE)"
                default: ""
                }
            return String(cString: strerror(code)) + advice
        }
    }

    private func open(_ key: FrontendKey) -> Result<Int32, ListenFailure> {
        guard usedDescriptors < descriptors else { return .failure(ListenFailure(code: EMFILE)) }
        let family = key.address.family
        let descriptor = key.transport.socket(family)
        guard descriptor >= 0 else { return .failure(ListenFailure(code: errno)) }
        // For UDP, this option would let two programs share a port.
        if key.transport == .tcp { set(descriptor, SOL_SOCKET, SO_REUSEADDR) }
        if family == .ipv6 { set(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY) }
        let address = SocketAddress(key.address, key.port)
        guard address.pass({ bind(descriptor, $0, $1) }) == 0,
            key.transport == .udp || Glibc.listen(descriptor, 1024) == 0
        else {
            let failure = ListenFailure(code: errno)
            close(descriptor)
            return .failure(failure)
        }
        return .success(descriptor)
    }

    private func stopListening(_ key: FrontendKey) {
        guard let socket = ports[key]?.socket else { return }
        owners[socket.token] = nil
        close(socket.descriptor)
        ports[key]?.socket = nil
        listening -= 1
        box.update { $0.listeners[key.address.family, default: 0] -= 1 }
    }

    /// Stops watching a port whose waiting clients cannot be accepted for lack of descriptors.
    ///
    /// The poller would report the port as ready again and again.
    func pause(_ key: FrontendKey) {
        guard let socket = ports[key]?.socket else { return }
        poller.watch(socket.descriptor, socket.token, for: [], before: .reading)
        ports[key]?.isPaused = true
    }

    private func resume(_ key: FrontendKey) {
        guard let socket = ports[key]?.socket else { return }
        poller.watch(socket.descriptor, socket.token, for: .reading, before: [])
        ports[key]?.isPaused = false
    }
}
