internal import Glibc
internal import NetworkTypes

/// The loop on the thread of `HTTPServer`, which serves in turns whatever is ready.
///
/// Requests must be answered even during a flood of connections. Therefore a turn serves the ready
/// connections before it accepts others, accepts a bounded number, and reads from each at once,
/// since most clients have sent their request by then. It makes room by closing the oldest
/// connections of the largest group, whether those send nothing, send part of a request, or do not
/// read their answer. When descriptors run out, it uses a reserve, and then stops watching the
/// listeners for a moment instead of being woken by them constantly.
struct ConnectionLoop: ~Copyable {
    enum Command: Sendable {
        case listen(Int32, IPAddress, HTTPServer.Handler)
        case close(Int32)
        case stop
    }

    private struct Listener {
        let address: IPAddress
        let handler: HTTPServer.Handler
    }

    private struct Connection {
        enum Stage { case reading, writing, lingering }

        let descriptor: Int32
        let listener: Listener
        var stage = Stage.reading
        var received: [UInt8] = []
        var unsent: ArraySlice<UInt8> = []
        var deadline: ContinuousClock.Instant

        enum Crowd { case silent, asking, taking, answered }

        /// The group of connections with which this one competes for a place.
        var crowd: Crowd {
            switch stage {
            case .reading: received.isEmpty ? .silent : .asking
            case .writing: .taking
            case .lingering: .answered
            }
        }
    }

    private static let patience = Duration.seconds(10)
    /// The time that clients may take to close after their answer.
    private static let lingering = Duration.seconds(1)
    /// The time for which listeners are not watched when nothing can be accepted.
    private static let rest = Duration.milliseconds(100)
    private static let acceptedInTurn = 128
    /// The pause between turns during a flood, in microseconds.
    ///
    /// A turn looks at all connections, which costs more than accepting one.
    private static let pause: UInt32 = 1000

    private let bell: Int32
    private let maximum: Int
    private var listeners: [Int32: Listener] = [:]
    /// The connections by number, in the order in which they were accepted.
    private var connections: [UInt64: Connection] = [:]
    private var nextID: UInt64 = 0
    private var ready: [(descriptor: Int32, connection: UInt64?)] = []
    private var restsUntil: ContinuousClock.Instant?
    private var hasAccepted = false
    private var reserve: DescriptorReserve
    private var buffer = [UInt8](repeating: 0, count: 4096)

    init(bell: Int32, maximum: Int) {
        (self.bell, self.maximum) = (bell, maximum)
        reserve = DescriptorReserve(min(16, maximum))
    }

    /// Waits until there is something to do.
    mutating func wait() {
        if hasAccepted, connections.count > maximum / 2 { usleep(Self.pause) }
        hasAccepted = false
        var entries = [pollfd(fd: bell, events: Int16(POLLIN), revents: 0)]
        var owners: [UInt64?] = [nil]
        entries.reserveCapacity(1 + listeners.count + connections.count)
        owners.reserveCapacity(1 + listeners.count + connections.count)
        for (id, connection) in connections {
            let events = connection.stage == .writing ? POLLOUT : POLLIN
            entries.append(pollfd(fd: connection.descriptor, events: Int16(events), revents: 0))
            owners.append(id)
        }
        if restsUntil == nil {
            for descriptor in listeners.keys {
                entries.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
                owners.append(nil)
            }
        }
        poll(&entries, nfds_t(entries.count), milliseconds())
        ready.removeAll(keepingCapacity: true)
        for index in entries.indices.dropFirst() where entries[index].revents != 0 {
            ready.append((entries[index].fd, owners[index]))
        }
        if entries[0].revents != 0 {
            while recv(bell, &buffer, buffer.count, 0) == buffer.count {}
        }
    }

    /// Returns the time until the next deadline; -1 if there is none.
    private func milliseconds() -> Int32 {
        var first = restsUntil
        for connection in connections.values {
            first = min(first ?? connection.deadline, connection.deadline)
        }
        guard let first else { return -1 }
        return Int32(max(0, min(60_000, (first - .now) / .milliseconds(1))) + 1)
    }

    /// Carries out commands; returns whether the server should go on.
    mutating func perform(_ commands: [Command]) -> Bool {
        for command in commands {
            switch command {
            case .listen(let descriptor, let address, let handler):
                listeners[descriptor] = Listener(address: address, handler: handler)
            case .close(let descriptor):
                listeners[descriptor] = nil
                close(descriptor)
                ready.removeAll { $0.connection == nil && $0.descriptor == descriptor }
            case .stop: return false
            }
        }
        return true
    }

    mutating func serve() {
        for case (_, let id?) in ready { serve(id) }
        expire()
        let waiting = ready.filter { $0.connection == nil }.map(\.descriptor)
        for descriptor in waiting where restsUntil == nil {
            accept(descriptor, atMost: max(1, Self.acceptedInTurn / waiting.count))
        }
    }

    mutating func stop() {
        for descriptor in listeners.keys { close(descriptor) }
        for connection in connections.values { close(connection.descriptor) }
    }

    private mutating func expire() {
        let now = ContinuousClock.now
        if let restsUntil, restsUntil <= now { self.restsUntil = nil }
        for (id, connection) in connections where connection.deadline <= now {
            if connection.stage == .reading, !connection.received.isEmpty {
                answer(id, HTTPResponse.refusal(408).bytes())
            } else {
                drop(id)
            }
        }
    }

    // MARK: Accepting

    private mutating func accept(_ descriptor: Int32, atMost limit: Int) {
        guard let listener = listeners[descriptor] else { return }
        for _ in 0..<limit {
            makeRoom()
            let accepted = Glibc.accept(descriptor, nil, nil)
            if accepted >= 0 {
                hasAccepted = true
                welcome(accepted, listener)
                continue
            }
            switch errno {
            case EAGAIN: return
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                guard reserve.release() || giveAway(1) else {
                    restsUntil = .now + Self.rest
                    return
                }
            // The client has gone away already, or there was a network error.
            default: continue
            }
        }
    }

    private mutating func welcome(_ descriptor: Int32, _ listener: Listener) {
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        connections[nextID] = Connection(
            descriptor: descriptor,
            listener: listener,
            deadline: .now + Self.patience
        )
        nextID += 1
        read(nextID - 1)
    }

    /// Closes many connections at once when the limit is reached, since choosing them is expensive.
    private mutating func makeRoom() {
        if connections.count >= maximum { giveAway(max(1, maximum / 8)) }
    }

    /// Closes the oldest connections of the largest group, so that a flood displaces itself.
    ///
    /// Returns false if there was no connection to close.
    @discardableResult
    private mutating func giveAway(_ count: Int) -> Bool {
        let crowds = Dictionary(grouping: connections, by: \.value.crowd)
        let largest = crowds.values.max { $0.count < $1.count } ?? []
        for id in largest.map(\.key).sorted().prefix(count) { drop(id) }
        return !largest.isEmpty
    }

    private mutating func drop(_ id: UInt64) {
        guard let connection = connections.removeValue(forKey: id) else { return }
        close(connection.descriptor)
        reserve.refill()
    }

    // MARK: Serving

    private mutating func serve(_ id: UInt64) {
        switch connections[id]?.stage {
        case .reading: read(id)
        case .writing: write(id)
        case .lingering: drain(id)
        case nil: break
        }
    }

    private mutating func read(_ id: UInt64) {
        guard let descriptor = connections[id]?.descriptor else { return }
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else {
            if count == 0 || errno != EAGAIN { drop(id) }
            return
        }
        connections[id]?.received += buffer[..<count]
        guard let connection = connections[id] else { return }
        switch HTTPRequest.read(connection.received) {
        case .incomplete: break
        case .bad(let status): answer(id, HTTPResponse.refusal(status).bytes())
        case .complete(var request):
            request.isOnLoopback = isOnLoopback(descriptor)
            let response =
                request.isMeant(for: connection.listener.address)
                ? connection.listener.handler(request) : .refusal(421)
            answer(id, response.bytes(isHead: request.method == "HEAD"))
        }
    }

    private mutating func answer(_ id: UInt64, _ bytes: [UInt8]) {
        connections[id]?.unsent = bytes[...]
        connections[id]?.stage = .writing
        connections[id]?.deadline = .now + Self.patience
        write(id)
    }

    private mutating func write(_ id: UInt64) {
        guard let connection = connections[id] else { return }
        let sent = connection.unsent.withUnsafeBytes {
            Glibc.send(connection.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        guard sent >= 0 else {
            if errno != EAGAIN { drop(id) }
            return
        }
        connections[id]?.unsent = connection.unsent.dropFirst(sent)
        guard sent == connection.unsent.count else { return }
        // Closing while the client still sends would reset the connection and lose the answer.
        shutdown(connection.descriptor, Int32(SHUT_WR))
        connections[id]?.unsent = []
        connections[id]?.received = []
        connections[id]?.stage = .lingering
        connections[id]?.deadline = .now + Self.lingering
    }

    private mutating func drain(_ id: UInt64) {
        guard let connection = connections[id] else { return }
        let count = recv(connection.descriptor, &buffer, buffer.count, 0)
        if count == 0 || count < 0 && errno != EAGAIN { drop(id) }
    }
}
