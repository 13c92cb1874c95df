internal import Glibc
internal import NetworkTypes
internal import ServicePlan

/// A client of a UDP port, and the socket on which its endpoint answers.
struct DatagramSession {
    struct Key: Hashable {
        let port: FrontendKey
        let client: IPAddress
        let clientPort: UInt16
    }

    let descriptor: Int32
    let token: UInt64
    let endpoint: Endpoint
    let client: SocketAddress
    var lastActive: ContinuousClock.Instant
    /// Whether the endpoint has sent anything.
    var isAnswered = false
}

extension ForwarderLoop {
    /// The timeouts for idle clients, as in connection tracking: `nf_conntrack_udp_timeout` and
    /// `nf_conntrack_udp_timeout_stream`.
    private static let (patience, answeredPatience) = (Duration.seconds(30), Duration.seconds(120))
    private static let datagramsAtOnce = 64

    /// Forwards datagrams from clients to their endpoints.
    func receive(_ key: FrontendKey) {
        guard let socket = ports[key]?.socket else { return }
        for _ in 0..<Self.datagramsAtOnce {
            var sender = SocketAddress()
            let count = sender.fill {
                recvfrom(socket.descriptor, buffer.baseAddress, buffer.count, 0, $0, $1)
            }
            guard count >= 0 else { return }
            guard let from = sender.value else { continue }
            let client = DatagramSession.Key(port: key, client: from.address, clientPort: from.port)
            guard let session = sessions[client] ?? openSession(client, sender) else { continue }
            sessions[client]?.lastActive = now
            let sent = Glibc.send(
                session.descriptor,
                buffer.baseAddress,
                count,
                Int32(MSG_NOSIGNAL)
            )
            // A full buffer loses the datagram, as on any path. A refusal was caused by an earlier
            // datagram.
            if sent < 0, errno != EAGAIN { fail(client) }
        }
    }

    /// Forwards the answers of an endpoint to the client.
    func answer(_ key: DatagramSession.Key) {
        guard let session = sessions[key], let socket = ports[key.port]?.socket else { return }
        for _ in 0..<Self.datagramsAtOnce {
            let count = recv(session.descriptor, buffer.baseAddress, buffer.count, 0)
            guard count >= 0 else {
                if errno != EAGAIN, errno != EINTR { fail(key) }
                return
            }
            sessions[key]?.lastActive = now
            sessions[key]?.isAnswered = true
            _ = session.client.pass {
                sendto(socket.descriptor, buffer.baseAddress, count, Int32(MSG_NOSIGNAL), $0, $1)
            }
        }
    }

    private func openSession(
        _ key: DatagramSession.Key,
        _ client: SocketAddress
    ) -> DatagramSession? {
        if sessions.count >= limits.sessions || usedDescriptors >= descriptors {
            guard makeRoom() else { return nil }
        }
        guard let endpoint = ports[key.port]?.choice.next(at: now, using: &random) else {
            return nil
        }
        let descriptor = TransportProtocol.udp.socket(endpoint.address.family)
        let address = SocketAddress(endpoint.address, endpoint.port)
        guard descriptor >= 0, address.pass({ Glibc.connect(descriptor, $0, $1) }) == 0 else {
            box.update { $0.failures[descriptor < 0 ? .limit : .endpoint, default: 0] += 1 }
            if descriptor >= 0 { close(descriptor) }
            return nil
        }
        let session = DatagramSession(
            descriptor: descriptor,
            token: poller.makeToken(),
            endpoint: endpoint,
            client: client,
            lastActive: now
        )
        sessions[key] = session
        owners[session.token] = .session(key)
        poller.watch(descriptor, session.token, for: .reading, before: [])
        box.update {
            $0.open[.udp, default: 0] += 1
            $0.opened[.udp, default: 0] += 1
        }
        return session
    }

    /// Drops the longest idle of a few clients; a flood would make it too costly to look at all.
    private func makeRoom() -> Bool {
        box.update { $0.failures[.limit, default: 0] += 1 }
        let oldest = sessions.prefix(32).min { $0.value.lastActive < $1.value.lastActive }
        guard let oldest else { return false }
        drop(oldest.key)
        return true
    }

    private func fail(_ key: DatagramSession.Key) {
        box.update { $0.failures[.endpoint, default: 0] += 1 }
        drop(key)
    }

    func drop(_ key: DatagramSession.Key) {
        guard let session = sessions.removeValue(forKey: key) else { return }
        owners[session.token] = nil
        close(session.descriptor)
        box.update { $0.open[.udp, default: 0] -= 1 }
    }

    func dropSessions(of port: FrontendKey, where isGone: (DatagramSession) -> Bool) {
        guard port.transport == .udp else { return }
        for (key, session) in sessions where key.port == port && isGone(session) { drop(key) }
    }

    func expireSessions() {
        for (key, session) in sessions {
            let patience = session.isAnswered ? Self.answeredPatience : Self.patience
            if now - session.lastActive > patience { drop(key) }
        }
    }
}
