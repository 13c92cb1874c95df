import IPVS
import NFTables
import NetworkTypes

@testable import IPVSKernel
@testable import KubeProxyLeftovers
@testable import Netlink

/// Runs a reader against a kernel that the rest of the input scripts; the first byte chooses the
/// reader.
func ask(
    _ input: UnsafeRawBufferPointer,
    _ readers: [() throws -> Void]
) {
    guard let choice = input.first else { return }
    let kernel = ScriptedKernel(UnsafeRawBufferPointer(rebasing: input.dropFirst()))
    NetlinkSocket.withPeer(kernel) { try? readers[Int(choice) % readers.count]() }
}

/// Links, addresses and routes.
func rtnetlink(_ input: UnsafeRawBufferPointer) {
    ask(
        input,
        [
            { _ = try Interfaces().bridges(in: [], or: ["br0"]) },
            { _ = try DeadLink.all() },
            { _ = try InterfaceAddresses.read(except: "lo") },
            {
                var lookup = try RouteLookup()
                for address in [IPAddress(ipv4: 1), IPAddress(ipv6High: 1, low: 1)] {
                    var question = RouteQuestion(to: address)
                    question.source = address
                    question.inputInterface = "lo"
                    question.mark = 1
                    _ = try lookup.route(question)
                    _ = try lookup.route(to: address)
                }
            },
            {
                var device = try DummyDevice("fuzz0")
                _ = try device.exists()
                try device.create()
                let addresses = try device.addresses()
                _ = try device.isLocal(IPAddress(ipv4: 1))
                try device.change(adding: [IPAddress(ipv4: 1)], removing: addresses)
                try device.remove()
            },
            {
                var route = try SteeringRoute(mark: 1)
                try route.create([.ipv4, .ipv6])
                try route.remove([.ipv4, .ipv6])
            },
            {
                let socket = try NetlinkSocket(.route)
                while try socket.receive(
                    timeout: 0,
                    { message in
                        _ = InterfaceAddresses.isChange(message, except: "lo")
                        _ = InterfaceAddresses.removed(message)
                        _ = ForwardingSettings.isChange(message)
                    }
                ) {}
            },
        ]
    )
}

/// Connection tracking: dumps, single entries, events and counters.
func conntrack(_ input: UnsafeRawBufferPointer) {
    ask(
        input,
        [
            {
                var tracking = try ConnectionTracking()
                for family in IPFamily.allCases {
                    for found in try tracking.connections(family, .udp, where: { _ in true }) {
                        _ = (found.isTranslated, found.isMasqueraded)
                        _ = try tracking.delete(found)
                    }
                }
            },
            {
                var tracking = try ConnectionTracking()
                for address in [IPAddress(ipv4: 1), IPAddress(ipv6High: 1, low: 1)] {
                    _ = try tracking.connection(
                        from: AddressAndPort(address, 40_000),
                        to: FrontendKey(address, .tcp, 80)
                    )
                }
            },
            { _ = try TrackingStatistics.read() },
            {
                var events = try ConnectionEvents(ConnectionFilter(targets: nil), buffer: 1 << 16)
                for _ in 0..<4 { _ = try events.receive(milliseconds: 0) { _ = $0.change } }
            },
        ]
    )
}

/// Generic netlink's families, and the virtual servers of IPVS.
func ipvs(_ input: UnsafeRawBufferPointer) {
    let frontend = FrontendKey(IPAddress(ipv4: 0x0A60_000A), .tcp, 80)
    let open = { () throws -> IPVSSocket? in try IPVSSocket() }
    ask(
        input,
        [
            {
                guard var socket = try open() else { return }
                let servers = try socket.servers()
                for server in servers { _ = try socket.destinations(of: server.key) }
                _ = try socket.servers([frontend])
            },
            {
                guard var socket = try open() else { return }
                _ = try socket.statistics()
                _ = try socket.refresh()
            },
            {
                guard var socket = try open() else { return }
                let endpoint = Destination(IPAddress(ipv4: 2), 8080, weight: 1)
                let server = VirtualServer(
                    key: frontend,
                    scheduler: "rr",
                    flags: .ours,
                    persistence: 60
                )
                _ = try socket.perform([
                    .add(server), .set(server), .addDestination(endpoint, to: frontend),
                    .setDestination(endpoint, of: frontend),
                    .removeDestination(endpoint.id, of: frontend),
                    .remove(frontend),
                ])
                try socket.setTimeouts(tcp: 1, tcpFIN: 2, udp: 3)
            },
        ]
    )
}

/// The names of ipsets.
func ipsets(_ input: UnsafeRawBufferPointer) {
    ask(input, [{ try IPSets.remove(IPSets.names().filter(\.isKubeProxySet)) }])
}

/// Texts in the format of `/proc/net`: sockets, then connections of IPVS.
func proc(_ input: [UInt8]) {
    var sockets = ListeningSockets()
    for line in String(decoding: input, as: UTF8.self).split(separator: "\n") {
        for transport in TransportProtocol.allCases {
            _ = sockets.insert(line: line, of: transport)
        }
    }
    for connection in ConnectionList.connections(in: input) {
        precondition(connection.client.port != 0, "a template counts as a connection")
        _ = (sockets.contains(connection.frontend), sockets.isTaken(connection.frontend))
    }
}

func netlink(_ input: UnsafeRawBufferPointer) {
    for message in NetlinkMessages(input) {
        _ = (message.errorCode, message.errorText, ConnectionEvent(message))
        _ = (message.isOverrun, message.isDone, message.wasInterrupted)
        for attribute in message.netfilterAttributes {
            _ = (attribute.text, attribute.word, attribute.bigEndianShort, attribute.address)
            for nested in attribute.nested { _ = nested.text }
        }
    }
}

func trace(_ input: UnsafeRawBufferPointer) {
    for event in NetlinkMessages(input).compactMap({ TraceEvent($0) }) {
        precondition(
            event.packet.map { $0.source.address.family == $0.destination.address.family } ?? true
        )
    }
}

/// Reads a table: the first byte chooses the family, and where the chains of the hooks begin and
/// end.
func xtables(_ input: UnsafeRawBufferPointer) {
    guard let first = input.first else { return }
    let hooks = [UInt32](repeating: UInt32(first >> 1) << 3, count: 5)
    let family: IPFamily = first & 1 == 0 ? .ipv4 : .ipv6
    let table = XTable(
        validHooks: 31,
        hookEntries: hooks,
        underflows: hooks,
        entries: Array(input.dropFirst())
    )
    _ = try? table.chain(ofHook: 2, family)
    guard let removal = try? table.removing(family, chains: { $0.hasPrefix("KUBE-") }) else {
        return
    }
    let again = try? removal.table.removing(family) { _ in false }
    precondition(again?.table == removal.table, "what is left is no table")
    precondition(again?.kept.count == removal.kept.count, "entries were lost")
}
