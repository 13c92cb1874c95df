internal import CMnl
internal import CNeedleShim
internal import Glibc

/// A blocking netlink socket, for use by one thread at a time.
package struct NetlinkSocket: ~Copyable {
    package enum Bus: Int32, Sendable {
        case route = 0
        case netfilter = 12
        case generic = 16
    }

    private let handle: OpaquePointer
    /// Answers in place of the kernel.
    private let peer: (any NetlinkPeer)?
    private let receiveBuffer: UnsafeMutableRawBufferPointer
    private let name: String
    package private(set) var sequence: UInt32 = 1
    /// Notes the questions of this socket; nil where nobody wants to know.
    package var recorder: RequestRecorder?

    /// Opens and binds a socket.
    ///
    /// - Parameter groups: a bit mask of the multicast groups 1...32 to join
    package init(_ bus: Bus, groups: UInt32 = 0) throws(NetlinkError) {
        name = "\(bus) netlink socket"
        guard let handle = mnl_socket_open2(bus.rawValue, Int32(SOCK_CLOEXEC.rawValue)) else {
            throw NetlinkError("opening a \(bus) netlink socket", code: errno)
        }
        guard mnl_socket_bind(handle, groups, MNL_SOCKET_AUTOPID) == 0 else {
            let error = NetlinkError("binding a \(bus) netlink socket", code: errno)
            mnl_socket_close(handle)
            throw error
        }
        self.handle = handle
        peer = Self.presentPeer
        // The kernel delivers at most 32 KiB of a dump at once.
        receiveBuffer = .allocate(byteCount: 64 * 1024, alignment: 8)
        var on: Int32 = 1
        // Errors should carry the kernel's text, and not echo the request. Old kernels support
        // neither, and that is accepted.
        _ = mnl_socket_setsockopt(handle, Int32(NETLINK_EXT_ACK), &on, 4)
        _ = mnl_socket_setsockopt(handle, Int32(NETLINK_CAP_ACK), &on, 4)
        setBufferSize(SO_RCVBUFFORCE, 8 << 20)
    }

    deinit {
        mnl_socket_close(handle)
        receiveBuffer.deallocate()
    }

    package var descriptor: Int32 { mnl_socket_get_fd(handle) }
    package var portID: UInt32 { mnl_socket_get_portid(handle) }

    package mutating func nextSequence() -> UInt32 {
        sequence &+= 1
        return sequence
    }

    /// Skips the sequence numbers that a batch has used.
    package mutating func advance(to sequence: UInt32) { self.sequence = sequence }

    /// Makes a listening socket ignore changes made through another of our sockets.
    package func ignoreChanges(by portID: UInt32) throws(NetlinkError) {
        let result = needle_ignore_port(descriptor, portID)
        guard result == 0 else { throw NetlinkError("filtering the \(name)", code: -result) }
    }

    /// Joins or leaves a multicast group, given by number.
    package func setMembership(of group: Int32, _ isMember: Bool) throws(NetlinkError) {
        var group = group
        let option = isMember ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP
        guard mnl_socket_setsockopt(handle, Int32(option), &group, 4) == 0 else {
            throw NetlinkError("changing the groups of the \(name)", code: errno)
        }
    }

    package func setNonBlocking() {
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    }

    func setBufferSize(_ option: Int32, _ size: Int) {
        var size = Int32(clamping: size)
        _ = setsockopt(descriptor, SOL_SOCKET, option, &size, 4)
    }

    /// Sends messages as one datagram, which the kernel accepts as a whole.
    package func send(_ bytes: UnsafeRawBufferPointer) throws(NetlinkError) {
        if let peer { return try peer.take(bytes) }
        // The kernel adds its own overhead to the size, and never shrinks what was set before.
        if bytes.count > 100_000 { setBufferSize(SO_SNDBUFFORCE, bytes.count + 4096) }
        while mnl_socket_sendto(handle, bytes.baseAddress, bytes.count) < 0 {
            guard errno == EINTR else {
                throw NetlinkError("sending \(bytes.count) bytes to the \(name)", code: errno)
                    .unsent
            }
        }
    }

    /// Waits for a datagram, and passes each of its messages to the closure.
    ///
    /// Returns false if nothing arrived within the timeout in milliseconds (-1 for none), or if
    /// nothing is waiting on a non-blocking socket.
    package func receive(
        timeout: Int32 = -1,
        _ body: (NetlinkMessage) -> Void
    ) throws(NetlinkError) -> Bool {
        if let peer {
            return try peer.receive { for message in NetlinkMessages($0) { body(message) } }
        }
        if timeout >= 0, !wait(milliseconds: timeout) { return false }
        while true {
            let count = mnl_socket_recvfrom(handle, receiveBuffer.baseAddress, receiveBuffer.count)
            if count >= 0 {
                let bytes = UnsafeRawBufferPointer(rebasing: receiveBuffer[..<count])
                for message in NetlinkMessages(bytes) { body(message) }
                return true
            }
            if errno == EAGAIN { return false }
            guard errno == EINTR else {
                throw NetlinkError("receiving from the \(name)", code: errno)
            }
        }
    }

    /// Waits until there is something to receive; returns false after the timeout.
    @discardableResult
    package func wait(milliseconds: Int32) -> Bool {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return Glibc.poll(&poll, 1, milliseconds) > 0
    }

    /// Sends a request with a single answer, and passes the answer to the closure.
    ///
    /// Returns false if the kernel reports that the object does not exist.
    ///
    /// - Parameter absence: the error codes that mean that
    package mutating func ask(
        _ what: String,
        request: borrowing MessageBuffer,
        sequence: UInt32,
        absence: [Int32],
        _ body: (NetlinkMessage) -> Void
    ) throws(NetlinkError) -> Bool {
        recorder?.note(request, isDump: false)
        try send(request.bytes)
        var result: Result<Bool, NetlinkError>?
        while result == nil {
            _ = try receive { message in
                guard message.sequence == sequence, result == nil else { return }
                if !message.isError {
                    recorder?.noteAnswer()
                    body(message)
                    result = .success(true)
                } else if absence.contains(message.errorCode) {
                    result = .success(false)
                } else {
                    result = .failure(
                        NetlinkError(
                            what,
                            code: message.errorCode,
                            kernelMessage: message.errorText
                        )
                    )
                }
            }
        }
        return try result?.get() ?? false
    }

    /// Sends a dump request, and passes each answer to the closure.
    ///
    /// A dump that the kernel marks as interrupted (`NLM_F_DUMP_INTR`) is repeated; `restart` is
    /// called first, to discard what was collected.
    package mutating func dump(
        _ what: String,
        request: borrowing MessageBuffer,
        sequence: UInt32,
        restart: () -> Void,
        _ body: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        for _ in 0..<100 {
            recorder?.note(request, isDump: true)
            try send(request.bytes)
            if try !collect(what, sequence: sequence, body) { return }
            restart()
        }
        throw NetlinkError("reading \(what): it changes faster than it can be read", code: EINTR)
    }

    /// Reads until the dump is complete; returns whether it must be repeated.
    private func collect(
        _ what: String,
        sequence: UInt32,
        _ body: (NetlinkMessage) -> Void
    ) throws(NetlinkError) -> Bool {
        var isDone = false
        var isInterrupted = false
        var failure: NetlinkError?
        while !isDone {
            _ = try receive { message in
                guard message.sequence == sequence else { return }
                isInterrupted = isInterrupted || message.wasInterrupted
                if message.isDone || message.isError {
                    isDone = true
                    let code = message.errorCode
                    if code == EINTR {
                        isInterrupted = true
                    } else if message.isError || code > 0, code != 0 {
                        failure = NetlinkError(
                            "reading \(what)",
                            code: code,
                            kernelMessage: message.errorText
                        )
                    }
                } else {
                    recorder?.noteAnswer()
                    body(message)
                }
            }
        }
        if let failure { throw failure }
        return isInterrupted
    }
}
