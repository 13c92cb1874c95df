import ModelKernel
import NFTables
import NetworkTypes

extension Routing {
    /// The routes of a node whose pods are behind the bridge `cni0`, and all else behind `eth0`,
    /// which is a bridge as well; marked packets are for the node.
    ///
    /// - Parameters:
    ///   - own: what masquerading makes a packet come from
    ///   - isPod: whether an address is behind `cni0`
    package static func model(
        own: IPAddress,
        isLocal: @escaping @Sendable (IPAddress) -> Bool,
        isPod: @escaping @Sendable (IPAddress) -> Bool
    ) -> Routing {
        Routing(
            addressType: { isLocal($0) ? .local : .unicast },
            way: { packet in
                let isSteered = (packet.mark ?? 0) & SteeringMark.bit != 0
                guard !isSteered, !isLocal(packet.destination) else { return .input }
                return .forward(interface: isPod(packet.destination) ? "cni0" : "eth0")
            },
            masqueradeAddress: { _ in own },
            interfaceIndex: { $0.utf8.reduce(1) { $0 &* 31 &+ UInt32($1) } },
            isFilteredBridge: { _ in true }
        )
    }
}
