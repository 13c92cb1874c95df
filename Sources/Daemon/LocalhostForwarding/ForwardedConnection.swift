internal import Glibc
internal import NetworkTypes
internal import ServicePlan

/// A client's connection, the connection to its endpoint, and the data on its way between them.
final class ForwardedConnection {
    enum End: Int { case client, server }

    struct Side {
        let descriptor: Int32
        let token: UInt64
        var watched: Readiness = []
        /// The data that is still to be sent to this side.
        var unsent: ArraySlice<UInt8> = []
        /// Whether this side has ended its stream.
        var hasEnded = false
        /// Whether this side was told that the other one has ended its stream.
        var isShut = false
    }

    private(set) var sides: [Side]
    var isConnecting = true
    var lastActive: ContinuousClock.Instant

    init(client: Side, server: Side, at now: ContinuousClock.Instant) {
        sides = [client, server]
        lastActive = now
    }

    subscript(end: End) -> Side {
        get { sides[end.rawValue] }
        set { sides[end.rawValue] = newValue }
    }

    /// Returns the events to watch on a side; nothing is read until the other side has taken all
    /// data.
    func interest(in end: End) -> Readiness {
        let side = self[end]
        if isConnecting { return end == .server ? .writing : [] }
        var interest: Readiness = []
        if !side.hasEnded, self[end.other].unsent.isEmpty { interest.insert(.reading) }
        if !side.unsent.isEmpty { interest.insert(.writing) }
        // A reset may follow the end of a stream. A side that was told of the other's end, too,
        // would be reported as failed all the time.
        if side.hasEnded, !side.isShut { interest.insert(.failed) }
        return interest
    }

    var isHalfClosed: Bool { sides.contains(where: \.hasEnded) }
    var isDone: Bool { sides.allSatisfy(\.isShut) }
}

extension ForwardedConnection.End {
    var other: Self { self == .client ? .server : .client }
}

// MARK: - Serving

extension ForwarderLoop {
    /// The limit for an idle connection of which one side has ended its stream.
    private static let halfClosedPatience = Duration.seconds(3600)
    /// The number of bytes read at a time, and thus the most that is held for a slow receiver.
    private static let chunk = 16_384
    private static let acceptedAtOnce = 64

    func accept(_ key: FrontendKey) {
        guard let listener = ports[key]?.socket else { return }
        for _ in 0..<Self.acceptedAtOnce {
            let client = Glibc.accept(listener.descriptor, nil, nil)
            guard client >= 0 else {
                if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno) {
                    box.update { $0.failures[.limit, default: 0] += 1 }
                    pause(key)
                }
                return
            }
            _ = fcntl(client, F_SETFD, FD_CLOEXEC)
            _ = fcntl(client, F_SETFL, O_NONBLOCK)
            if connections.count >= limits.connections || usedDescriptors + 2 > descriptors {
                refuse(client, .limit)
            } else {
                connect(client, key)
            }
        }
    }

    private func connect(_ client: Int32, _ key: FrontendKey) {
        guard let endpoint = ports[key]?.choice.next(at: now, using: &random) else {
            return refuse(client, .endpoint)
        }
        let server = TransportProtocol.tcp.socket(endpoint.address.family)
        let address = SocketAddress(endpoint.address, endpoint.port)
        guard server >= 0 else { return refuse(client, .limit) }
        guard address.pass({ Glibc.connect(server, $0, $1) }) == 0 || errno == EINPROGRESS else {
            close(server)
            return refuse(client, .endpoint)
        }
        for descriptor in [client, server] {
            set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY)
            set(descriptor, SOL_SOCKET, SO_KEEPALIVE)
        }
        let connection = ForwardedConnection(
            client: .init(descriptor: client, token: poller.makeToken()),
            server: .init(descriptor: server, token: poller.makeToken()),
            at: now
        )
        connections[ObjectIdentifier(connection)] = connection
        owners[connection[.client].token] = .side(connection, .client)
        owners[connection[.server].token] = .side(connection, .server)
        watch(connection)
        box.update {
            $0.open[.tcp, default: 0] += 1
            $0.opened[.tcp, default: 0] += 1
        }
    }

    private func refuse(_ client: Int32, _ reason: ForwarderStatistics.Failure) {
        box.update { $0.failures[reason, default: 0] += 1 }
        closeWithReset(client)
    }

    func serve(
        _ connection: ForwardedConnection,
        _ end: ForwardedConnection.End,
        _ readiness: Readiness
    ) {
        connection.lastActive = now
        let isReset = readiness.contains(.failed) && connection[end].hasEnded
        if connection.isConnecting {
            guard isConnected(connection[.server].descriptor) else {
                return fail(connection)
            }
            connection.isConnecting = false
        } else {
            if !readiness.isDisjoint(with: [.writing, .failed]), !flush(connection, end) {
                return drop(connection, reset: true)
            }
            if !readiness.isDisjoint(with: [.reading, .failed]), !pump(connection, from: end) {
                return drop(connection, reset: true)
            }
            if isReset { return drop(connection, reset: true) }
        }
        for end in [ForwardedConnection.End.client, .server] { passEnd(connection, from: end) }
        if connection.isDone { return drop(connection, reset: false) }
        watch(connection)
    }

    private func isConnected(_ descriptor: Int32) -> Bool {
        var code: Int32 = 0
        var length = socklen_t(4)
        return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) == 0 && code == 0
    }

    /// Forwards data from one side to the other; returns false if a connection is broken.
    private func pump(_ connection: ForwardedConnection, from end: ForwardedConnection.End) -> Bool
    {
        guard connection.interest(in: end).contains(.reading) else { return true }
        let count = recv(connection[end].descriptor, buffer.baseAddress, Self.chunk, 0)
        guard count > 0 else {
            if count == 0 { connection[end].hasEnded = true }
            return count == 0 || errno == EAGAIN || errno == EINTR
        }
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        let sent = send(connection[end.other].descriptor, bytes)
        guard sent >= 0 else { return false }
        if sent < count {
            connection[end.other].unsent = Array(bytes.dropFirst(sent))[...]
        }
        return true
    }

    /// Sends the remaining data to a side; returns false if its connection is broken.
    private func flush(_ connection: ForwardedConnection, _ end: ForwardedConnection.End) -> Bool {
        let unsent = connection[end].unsent
        guard !unsent.isEmpty else { return true }
        let sent = unsent.withUnsafeBytes { send(connection[end].descriptor, $0) }
        guard sent >= 0 else { return false }
        connection[end].unsent = unsent.dropFirst(sent)
        return true
    }

    /// Returns the number of bytes accepted; negative if the connection is broken.
    private func send(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        let sent = Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        if sent < 0, errno == EAGAIN || errno == EINTR { return 0 }
        return sent
    }

    /// Tells the other side that this one has ended its stream, once it has received everything.
    private func passEnd(_ connection: ForwardedConnection, from end: ForwardedConnection.End) {
        let other = connection[end.other]
        guard connection[end].hasEnded, other.unsent.isEmpty, !other.isShut else { return }
        shutdown(other.descriptor, Int32(SHUT_WR))
        connection[end.other].isShut = true
    }

    private func watch(_ connection: ForwardedConnection) {
        for end in [ForwardedConnection.End.client, .server] {
            let side = connection[end]
            let interest = connection.interest(in: end)
            poller.watch(side.descriptor, side.token, for: interest, before: side.watched)
            connection[end].watched = interest
        }
    }

    private func fail(_ connection: ForwardedConnection) {
        box.update { $0.failures[.endpoint, default: 0] += 1 }
        drop(connection, reset: true)
    }

    /// Closes both sides.
    ///
    /// - Parameter reset: whether both sides should see the connection as broken
    func drop(_ connection: ForwardedConnection, reset: Bool) {
        connections[ObjectIdentifier(connection)] = nil
        for side in connection.sides {
            owners[side.token] = nil
            if reset { closeWithReset(side.descriptor) } else { close(side.descriptor) }
        }
        box.update { $0.open[.tcp, default: 0] -= 1 }
    }

    private func closeWithReset(_ descriptor: Int32) {
        var option = linger(l_onoff: 1, l_linger: 0)
        let size = socklen_t(MemoryLayout<linger>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, size)
        close(descriptor)
    }

    func expireConnections() {
        for connection in connections.values {
            let idle = now - connection.lastActive
            if connection.isConnecting, idle > limits.connecting {
                fail(connection)
            } else if connection.isHalfClosed, idle > Self.halfClosedPatience {
                drop(connection, reset: true)
            }
        }
    }
}
