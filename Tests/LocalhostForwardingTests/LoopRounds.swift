import BinarySupport
import Glibc
@testable import LocalhostForwarding
import Logging
import NetworkNamespaces
import NetworkTypes
import ServicePlan
import Synchronization
import TestSupport
import Testing

/// A forwarder's loop that runs on the test's thread, so that the test decides when it looks and
/// what time it is: no patience ends because the machine is busy.
final class LoopRounds {
    let namespace: NetworkNamespace
    let loop: ForwarderLoop
    let notes = ForwarderBench.NoteBox()
    private let box = StatisticsBox()
    private let bell: Int32

    init(
        _ limits: LocalhostForwarder.Limits = .init(),
        network: [String] = [
            "link set lo up", "addr add 10.244.1.5/32 dev lo", "addr add 10.244.1.6/32 dev lo",
            "addr add fd00:1::5/128 dev lo nodad", "addr add fd00:1::6/128 dev lo nodad",
        ]
    ) throws {
        namespace = try NetworkNamespace()
        if !network.isEmpty { try namespace.ip(network) }
        var pair: [Int32] = [-1, -1]
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        socketpair(AF_UNIX, Int32(type), 0, &pair)
        bell = pair[0]
        loop = ForwarderLoop(
            limits,
            bell: pair[1],
            box,
            { [notes] _, note in notes.all.withLock { $0.append(note) } },
            Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            clock: { [start = ContinuousClock.now] in start }
        )
    }

    deinit {
        loop.closeEverything()
        close(bell)
    }

    var statistics: ForwarderStatistics { box.current }

    /// Runs one round; the bell rings, so it does not wait.
    func round(_ commands: [LocalhostForwarder.Command] = []) throws {
        var byte: UInt8 = 1
        send(bell, &byte, 1, Int32(MSG_NOSIGNAL))
        try namespace.inside { #expect(loop.run { commands }) }
    }

    func update(_ changes: [String: [ForwardedPort]]) throws { try round([.update(changes)]) }

    func run(until holds: () throws -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(30)
        while try !holds() {
            guard .now < deadline else { throw CommandError("\(statistics)") }
            try round()
        }
    }

    /// Listens again on ports whose former sockets could not be replaced at once.
    ///
    /// A program that another test is just starting holds them for a moment.
    func listenEverywhere() throws {
        let deadline = ContinuousClock.now + .seconds(10)
        while let port = loop.ports.values.first(where: { $0.socket == nil }), .now < deadline {
            let ports = loop.services[port.service] ?? []
            try update([port.service: []])
            try update([port.service: ports])
        }
    }

    /// Connects; if the port is not served, waits for such a program to let its socket go.
    func connect(_ host: String, _ port: UInt16, isServed: Bool) throws -> Stream? {
        let deadline = ContinuousClock.now + .seconds(10)
        var stream = try Stream.connecting(namespace, host, port)
        while !isServed, stream != nil, .now < deadline {
            stream = try Stream.connecting(namespace, host, port)
        }
        return stream
    }

    /// Runs until a byte sent at one end has arrived at the other.
    func carry(_ from: Stream, _ to: Stream) throws -> Bool {
        var byte = UInt8.random(in: .min ... .max)
        let sent = byte
        guard send(from.descriptor, &byte, 1, Int32(MSG_NOSIGNAL)) == 1 else { return false }
        var count = -1
        try run {
            count = recv(to.descriptor, &byte, 1, Int32(MSG_DONTWAIT))
            return count >= 0 || errno != EAGAIN
        }
        return count == 1 && byte == sent
    }
}

/// A UDP socket that sends and receives whole datagrams.
final class DatagramSocket {
    let descriptor: Int32
    private var sender = sockaddr_storage()
    private var length = socklen_t(MemoryLayout<sockaddr_storage>.size)

    init(_ namespace: NetworkNamespace, _ host: String, port: UInt16 = 0) throws {
        descriptor = try namespace.inside {
            let family = host.contains(":") ? AF_INET6 : AF_INET
            return socket(family, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        }
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        guard withSocketAddress(host, port, { bind(descriptor, $0, $1) }) == 0 else {
            throw CommandError("cannot bind \(host) port \(port): \(errno)")
        }
    }

    deinit { close(descriptor) }

    @discardableResult
    func send(_ bytes: [UInt8], to host: String, _ port: UInt16 = 30053) -> Bool {
        withSocketAddress(host, port) {
            sendto(descriptor, bytes, bytes.count, 0, $0, $1) == bytes.count
        }
    }

    /// The next datagram; nil if there is none within the time, or at once.
    func receive(_ flags: Int = 0) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 70_000)
        length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let count = withUnsafeMutablePointer(to: &sender) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { sender in
                recvfrom(descriptor, &bytes, bytes.count, Int32(flags), sender, &length)
            }
        }
        return count < 0 ? nil : Array(bytes[..<count])
    }

    /// Sends to where the last datagram came from.
    @discardableResult
    func reply(_ bytes: [UInt8]) -> Bool {
        withUnsafePointer(to: &sender) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, bytes, bytes.count, 0, $0, length) == bytes.count
            }
        }
    }
}
