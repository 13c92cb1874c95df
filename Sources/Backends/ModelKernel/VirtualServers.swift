internal import NFTables
package import NetworkTypes

/// The endpoints with their weights that a virtual server has for a packet; nil: there is none.
package typealias VirtualServers = @Sendable (Packet) -> [WeightedEndpoint]?

/// A destination of a virtual server.
package struct WeightedEndpoint: Sendable, Hashable {
    package let endpoint: AddressAndPort
    package let weight: UInt32
    /// Whether IPVS takes the packets out of conntrack (`net.ipv4.vs.conntrack` is 0).
    package let isUntracked: Bool

    package init(_ endpoint: AddressAndPort, weight: UInt32, isUntracked: Bool = false) {
        (self.endpoint, self.weight, self.isUntracked) = (endpoint, weight, isUntracked)
    }
}

extension Stations {
    /// Where IPVS takes packets (`net/netfilter/ipvs/ip_vs_core.c: ip_vs_ops4`).
    static func balancer(_ hook: BaseChain.Hook) -> Int32? {
        switch hook {
        case .input: 99
        case .output: -98
        case .prerouting, .forward, .postrouting: nil
        }
    }
}

extension Walk {
    /// Sends packets of virtual servers to their destinations.
    ///
    /// - Returns: those that the node itself gets
    mutating func balance(_ travellers: [Traveller]) -> [Traveller] {
        travellers.flatMap { traveller -> [Traveller] in
            guard !traveller.isBalanced,
                let destinations = evaluator.servers?(traveller.packet)
            else { return [traveller] }
            let total = destinations.reduce(0) { $0 + Int($1.weight) }
            guard total > 0 else {
                // net/netfilter/ipvs/ip_vs_core.c: ip_vs_leave refuses with ICMP_PORT_UNREACH.
                endings.add(traveller, .rejected(.icmp(code: 3)))
                return []
            }
            return destinations.filter { $0.weight > 0 }.compactMap {
                send(traveller, to: $0, of: total)
            }
        }
    }

    /// A packet for another machine meets the rules of the node's own packets, with its new
    /// destination (`net/netfilter/ipvs/ip_vs_xmit.c: ip_vs_nat_send_or_cont`).
    private mutating func send(
        _ traveller: Traveller,
        to destination: WeightedEndpoint,
        of total: Int
    ) -> Traveller? {
        var traveller = traveller
        traveller.weight =
            traveller.weight.part(Int(destination.weight), of: total) ?? traveller.weight
        traveller.isBalanced = true
        traveller.packet.destination = destination.endpoint.address
        traveller.packet.destinationPort = destination.endpoint.port
        traveller.connection?.reply.source = destination.endpoint.address
        traveller.connection?.reply.sourcePort = destination.endpoint.port
        if destination.isUntracked {
            // net/netfilter/ipvs/ip_vs_xmit.c: ip_vs_nat_send_or_cont, ip_vs_notrack
            (traveller.tracking, traveller.isUntracked) = (nil, true)
        }
        let received = traveller
        traveller.packet.inputInterface = nil
        guard let way = way(traveller) else { return nil }
        switch way {
        case .input: return received
        case .nowhere: endings.add(traveller, .unroutable)
        case .forward(let interface):
            traveller.packet.outputInterface = interface
            let sent = pass(.output, [traveller])
            for traveller in pass(.postrouting, sent) { deliver(traveller, .output) }
        }
        return nil
    }
}
