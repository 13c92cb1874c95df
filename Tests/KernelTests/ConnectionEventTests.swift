import Glibc
import Netlink
import NetworkNamespaces
import NetworkTypes
import TestSupport
import Testing

/// Events of entries that the conntrack tool makes, as if by packets.
@Suite struct ConnectionEventTests {
    /// Inserts an entry to port 80 that 10.244.1.5:8080 answers.
    private func track(
        _ namespace: NetworkNamespace,
        _ source: String,
        _ port: UInt16,
        to destination: String = "10.96.0.10",
        translated: Bool = true
    ) throws {
        try namespace.run([
            "conntrack", "-I", "-p", "udp", "-s", source, "-d", destination, "--sport", "\(port)",
            "--dport", "80", "-r", translated ? "10.244.1.5" : destination, "-q", source,
            "--reply-port-src", translated ? "8080" : "80", "--reply-port-dst", "\(port)",
            "--timeout", "600",
        ])
    }

    /// Runs a test in a namespace of its own, since sockets belong to that of their thread.
    private func inNamespace(_ body: (NetworkNamespace) throws -> Void) throws {
        let namespace = try NetworkNamespace()
        try namespace.inside { try body(namespace) }
    }

    /// Reads events up to the one of a client's port; returns the ports.
    private func ports(
        _ events: inout ConnectionEvents,
        until last: UInt16
    ) throws -> (ports: [UInt16], losses: [ConnectionEvents.Loss]) {
        var (ports, losses): ([UInt16], [ConnectionEvents.Loss]) = ([], [])
        while ports.last != last {
            let loss = try events.receive(milliseconds: 60_000) {
                ports.append($0.connection.clientPort)
            }
            if loss != .none { losses.append(loss) }
        }
        return (ports, losses)
    }

    private func insertAll(_ namespace: NetworkNamespace) throws {
        try track(namespace, "10.1.0.1", 1001)
        try track(namespace, "10.1.0.2", 1002)
        try track(namespace, "10.1.0.1", 1003, to: "10.96.0.11")
        try track(namespace, "10.1.0.1", 1004, translated: false)
        try track(namespace, "10.1.0.1", 1005)
    }

    @Test(
        arguments: [
            (ConnectionFilter(targets: nil), [1001, 1002, 1003, 1005]),
            (ConnectionFilter(targets: nil, client: prefix("10.1.0.0/31")), [1001, 1003, 1005]),
            (
                ConnectionFilter(targets: [.init(ip("10.96.0.10"), .udp, port: 80)]),
                [1001, 1002, 1004, 1005]
            ),
        ] as [(ConnectionFilter, [UInt16])]
    )
    func `the kernel leaves out what is not wanted`(filter: ConnectionFilter, wanted: [UInt16])
        throws
    {
        try inNamespace { try check(filter, wanted, $0) }
    }

    private func check(
        _ filter: ConnectionFilter,
        _ wanted: [UInt16],
        _ namespace: NetworkNamespace
    ) throws {
        let socket = try NetlinkSocket(.netfilter)
        try socket.attach(filter.program)
        // NFNLGRP_CONNTRACK_NEW
        try socket.setMembership(of: 1, true)
        try insertAll(namespace)
        var ports: [UInt16] = []
        while ports.last != 1005 {
            // Whatever arrives counts, wanted or not.
            _ = try socket.receive(timeout: 60_000) { message in
                ports.append(ConnectionEvent(message)?.connection.clientPort ?? 0)
            }
        }
        #expect(ports == wanted)
    }

    @Test func `a filter is changed while it is in use`() throws {
        try inNamespace(changeFilter)
    }

    private func changeFilter(_ namespace: NetworkNamespace) throws {
        var events = try ConnectionEvents(ConnectionFilter(targets: []), buffer: 1 << 20)
        try track(namespace, "10.1.0.1", 1001)
        try events.change(ConnectionFilter(targets: [.init(ip("10.96.0.11"), nil, port: nil)]))
        try track(namespace, "10.1.0.1", 1002)
        try track(namespace, "10.1.0.1", 1003, to: "10.96.0.11")
        #expect(try ports(&events, until: 1003).ports == [1003])
        try namespace.run(["conntrack", "-D", "-p", "udp", "--orig-port-src", "1003"])
        var changes: [ConnectionEvent.Change] = []
        while changes.isEmpty {
            _ = try events.receive(milliseconds: 60_000) { changes.append($0.change) }
        }
        #expect(changes == [.destroyed])
    }

    @Test func `what the buffer could not hold is counted`() throws {
        try inNamespace(overrun)
    }

    private func overrun(_ namespace: NetworkNamespace) throws {
        var events = try ConnectionEvents(ConnectionFilter(targets: nil), buffer: 1)
        let count: UInt16 = 40
        for port in 1...count { try track(namespace, "10.1.0.1", port) }
        // The first ones wait; then everything is lost until they are read.
        var (seen, losses): ([UInt16], [ConnectionEvents.Loss]) = ([], [])
        for _ in 0..<count {
            let loss = try events.receive(milliseconds: 0) {
                seen.append($0.connection.clientPort)
            }
            if loss != .none { losses.append(loss) }
        }
        try track(namespace, "10.1.0.1", count + 1)
        let rest = try ports(&events, until: count + 1)
        #expect(rest.losses.isEmpty && rest.ports == [count + 1])
        #expect(!seen.isEmpty && seen.count < count)
        #expect(losses == [.events(UInt32(count) - UInt32(seen.count))])
    }

    @Test func `a program that kernels refuse is an error`() throws {
        let socket = try NetlinkSocket(.netfilter)
        // The last instruction of a program is a result.
        let filter = SocketFilter(instructions: [.init(code: 0x05, value: 7)])
        #expect(throws: NetlinkError.self) { try socket.attach(filter) }
    }
}
