import ModelKernel
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport

extension RandomCluster {
    /// A packet of some client to something that it may want to reach, and what conntrack thinks of it.
    package mutating func packet() -> (packet: Packet, tracking: Tracking) {
        var (source, interface) = client()
        var (destination, port, transport) = target()
        if chance(8), let (client, frontend) = stickyClients.randomElement(using: &random) {
            (source, interface) = (client, client == nodeAddress ? nil : "cni0")
            (destination, port) = (frontend.key.address, frontend.key.port)
            transport = frontend.key.transport
        } else if let frontend = frontends.first(where: {
            $0.key == FrontendKey(destination, transport, port)
        }) {
            (source, interface) = interested(in: frontend) ?? (source, interface)
        }
        var packet = Packet(
            from: source,
            UInt16.random(in: 32_768...60_999, using: &random),
            to: destination,
            port,
            transport,
            by: interface
        )
        guard chance(6) else { return (packet, .new) }
        guard !chance(3) else { return (packet, .connection(established(packet))) }
        if chance(2), let endpoint = formerOrPresent() {
            (packet.source, packet.sourcePort) = (endpoint.address, endpoint.port)
            packet.transport = endpoint.transport.rawValue
        }
        return (packet, .invalid)
    }

    /// Packets to frontends whose packets are dropped, unless another program translates them.
    package mutating func packetsToDropped(atMost count: Int) -> [Packet] {
        let dropped = frontends.filter { $0.action == .drop }
        return (0..<(dropped.isEmpty ? 0 : count)).compactMap { _ in
            let (client, interface) = client()
            return dropped.randomElement(using: &random).map {
                Packet(
                    from: client,
                    UInt16.random(in: 32_768...60_999, using: &random),
                    to: $0.key.address,
                    $0.key.port,
                    $0.key.transport,
                    by: interface
                )
            }
        }
    }

    /// A client that a frontend treats in its own way, or almost.
    private mutating func interested(in frontend: Frontend) -> (IPAddress, String?)? {
        if chance(2), let block = frontend.allowedSources?.randomElement(using: &random) {
            let edges = [block.base, block.last, block.base.moved(-1), block.last.moved(1)]
            return edges.randomElement(using: &random).map { ($0, "eth0") }
        }
        guard chance(3) else { return nil }
        let plan = plans.values.first { $0.frontends.contains(frontend) }
        let pools = plan?.pools(of: frontend)
        let endpoint = pools?.cluster?.endpoints.randomElement(using: &random)
        return endpoint.map { ($0.address, $0.address == nodeAddress ? nil : "cni0") }
    }

    /// Kinds that are few are wanted as often as others.
    private mutating func frontend() -> Frontend {
        let wishes: [(Frontend) -> Bool] = [
            { $0.kind == .clusterIP }, { $0.kind == .nodePort }, { $0.allowedSources != nil },
            { $0.masquerade == .node }, { _ in true },
        ]
        let wish = wishes[Int.random(in: 0..<wishes.count, using: &random)]
        let granted = frontends.filter(wish)
        return (granted.isEmpty ? frontends : granted).randomElement(using: &random)
            ?? Frontend(
                key: FrontendKey(nodeAddress, .tcp, 22),
                kind: .nodePort,
                portName: "",
                action: .reject,
                masquerade: .everyone
            )
    }

    private mutating func formerOrPresent() -> FrontendKey? {
        guard let plan = everyPlan.randomElement(using: &random),
            let frontend = plan.frontends.randomElement(using: &random),
            let pool = plan.pools(of: frontend).cluster,
            let endpoint = (pool.endpoints + pool.draining).randomElement(using: &random),
            endpoint.address.family == family
        else { return nil }
        return FrontendKey(endpoint.address, frontend.key.transport, endpoint.port)
    }

    /// A connection that was translated to some endpoint.
    private func established(_ packet: Packet) -> Connection {
        var reply = packet.tuple.inverse
        reply.source = address(family, 2, 33)
        reply.sourcePort = 8080
        return Connection(
            .established,
            original: packet.tuple,
            reply: reply,
            status: Connection.Status.destinationTranslated
                | Connection.Status.destinationDecided | Connection.Status.sourceDecided
        )
    }

    private mutating func client() -> (IPAddress, String?) {
        switch Int.random(in: 0..<10, using: &random) {
        // Pods here, most of them endpoints of something.
        case 0..<4:
            let host = 3 * Int.random(in: 0..<40, using: &random)
            return (address(family, 2, host), chance(4) ? "cni1" : "cni0")
        // Pods elsewhere.
        case 4: return (address(family, 2, Int.random(in: 0..<90, using: &random)), "eth0")
        case 5..<7: return (nodeAddress, nil)
        // Some of them near the source ranges.
        case 7: return (address(family, 7, Int.random(in: 0..<99, using: &random)), "eth0")
        default: return (address(family, 3, Int.random(in: 0..<24, using: &random)), "eth0")
        }
    }

    private mutating func target() -> (IPAddress, UInt16, TransportProtocol) {
        if chance(6), let key = hostPorts.keys.sorted().randomElement(using: &random) {
            return (key.address, key.port, key.transport)
        }
        let transport = TransportProtocol.allCases.randomElement(using: &random) ?? .tcp
        let host = Int.random(in: 0..<160, using: &random)
        switch Int.random(in: 0..<20, using: &random) {
        case 0: return (address(family, 2, host), 8080, transport)
        case 1: return (address(family, 0, 500 + host), 80, transport)
        case 2: return (address(family, 7, host), 80, transport)
        case 3: return (nodeAddress, 22, transport)
        case 4...5:
            // Nobody's port, or another protocol.
            let address = frontends.randomElement(using: &random)?.key.address
            return (address ?? nodeAddress, UInt16(80 + host % 8), transport)
        default:
            let key = frontend().key
            return (key.address, key.port, key.transport)
        }
    }
}

extension IPAddress {
    fileprivate func moved(_ by: Int) -> IPAddress {
        let low = UInt64(truncatingIfNeeded: Int(truncatingIfNeeded: low) &+ by)
        return family == .ipv4
            ? IPAddress(ipv4: UInt32(truncatingIfNeeded: low)) : IPAddress(ipv6High: high, low: low)
    }
}
