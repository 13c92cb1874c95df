internal import Glibc
internal import NetworkTypes

/// A connection that is begun and watched, packet by packet, to see why it does not come about.
struct WatchedConnection {
    enum Outcome: Hashable {
        case connected
        /// The client has got an answer from somebody whom it did not ask.
        case strayAnswer(IPAddress)
        case unanswered
    }

    /// How long an answer may take, in seconds; they take milliseconds here.
    private static let patience = 1

    let outcome: Outcome
    /// The packets in the watched namespaces.
    let packets: [Sighting]

    init(
        from client: Namespace,
        to target: FrontendKey,
        watching others: [Namespace] = []
    ) throws {
        let capture = try Capture(
            ([client] + others).map {
                LiveTopology.Place(name: $0.name, namespace: $0, interfaces: [], addresses: [])
            }
        )
        let descriptor = try openSocket(
            SOCK_STREAM,
            target.address.socketDomain,
            in: client.handle,
            patience: Self.patience
        )
        defer { close(descriptor) }
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        _ = SocketAddress(target.address, target.port).with { connect(descriptor, $0, $1) }
        var packets: [Sighting] = []
        var outcome = Outcome.unanswered
        let deadline = ContinuousClock.now + .seconds(Self.patience)
        while outcome == .unanswered, .now < deadline {
            var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            poll(&entry, 1, 10)
            packets += try capture.sightings()
            if entry.revents & Int16(POLLOUT | POLLERR | POLLHUP) == Int16(POLLOUT) {
                outcome = .connected
            } else if let stray = Self.stray(packets, at: client, target) {
                outcome = .strayAnswer(stray)
            }
        }
        self.outcome = outcome
        self.packets = packets
    }

    private static func stray(
        _ packets: [Sighting],
        at client: Namespace,
        _ target: FrontendKey
    ) -> IPAddress? {
        for sighting in packets where sighting.place == client.name && !sighting.isOutgoing {
            guard sighting.packet.isAnswer, let layer = sighting.packet.layers.last,
                layer.source.family == target.address.family, layer.source != target.address
            else { continue }
            return layer.source
        }
        return nil
    }
}
