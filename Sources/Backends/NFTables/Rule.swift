package import NetworkTypes

/// One part of a rule: a match or an action, which can be printed for nft and encoded for the
/// kernel.
package enum Statement: Sendable, Hashable {
    package enum ConnectionState: UInt32, Sendable { case new = 8, invalid = 1 }

    case lookup([PacketField], in: SetID, negated: Bool = false)
    case state(ConnectionState)
    /// `ct status dnat`: nftables has translated the connection's destination.
    case isDNATed
    /// `fib saddr type local`: whether the source is an address of the node.
    case sourceIsLocal(Bool)
    /// The packet did not arrive on the interface `name` or, with `isPrefix`, on one whose name
    /// begins with it.
    case inputInterfaceIsNot(name: String, isPrefix: Bool)
    /// The same of the interface on which the packet leaves.
    case outputInterfaceIsNot(name: String, isPrefix: Bool)
    /// `iif 0`: whether the hook knows an interface on which the packet arrived. In postrouting it
    /// does not for what came by the output hook, nor for those that a bridge hands to `br_netfilter`
    /// (`net/bridge/br_netfilter_hooks.c: br_nf_post_routing`).
    case inputInterfaceIsKnown(Bool)
    case transport(TransportProtocol, isEqual: Bool = true)
    /// Sends the connection to the endpoint that the map has for the key; without an entry, the
    /// next rule follows.
    case dnat([PacketField], map: SetID)
    /// Keeps the connection's destination, so that later rules cannot translate it.
    case keepDestination
    case masquerade
    /// `update @affinity`: remembers the client's endpoint for this number of seconds.
    case remember(timeout: UInt32)
    /// Applies the verdict that the map has for the key; without an entry, the next rule follows.
    case verdict([PacketField], map: SetID)
    /// Sets or clears the bit of the packet mark that routes a packet to this node.
    case steer(Bool)
    case counter
    case reject(withReset: Bool)
    case drop
    case returning
    case jump(Chain.Name)
    case goto(Chain.Name)
}

/// The packet mark that routes packets for external frontends to IPVS.
package enum SteeringMark {
    /// Bit 12; kube-proxy and the kubelet use bits 14 and 15, and network plugins use others.
    package static let bit: UInt32 = 1 << 12
}

package struct Rule: Sendable, Hashable {
    package let statements: [Statement]

    package init(_ statements: Statement...) { self.statements = statements }
}

package struct Chain: Sendable, Hashable {
    /// The names of chains, after what they do; those of base chains end with their hook.
    package enum Name: Sendable, Hashable {
        case sourceRanges, invalid, services, pick, pickLocal, masquerading, noService
        /// Leads to the chain `rememberFor` with the frontend's timeout.
        case remember
        case rememberFor(seconds: UInt32)
        case preDNATPrerouting, preDNATOutput, dnatPrerouting, dnatOutput, steerPrerouting
        case snatPostrouting, filterInput, filterForward, filterOutput

        package var text: String {
            switch self {
            case .sourceRanges: "source-ranges"
            case .invalid: "invalid"
            case .services: "services"
            case .pick: "pick"
            case .pickLocal: "pick-local"
            case .masquerading: "masquerading"
            case .noService: "no-service"
            case .remember: "remember"
            case .rememberFor(let seconds): "\(Self.remembering)\(seconds)"
            case .preDNATPrerouting: "pre-dnat-prerouting"
            case .preDNATOutput: "pre-dnat-output"
            case .dnatPrerouting: "dnat-prerouting"
            case .dnatOutput: "dnat-output"
            case .steerPrerouting: "steer-prerouting"
            case .snatPostrouting: "snat-postrouting"
            case .filterInput: "filter-input"
            case .filterForward: "filter-forward"
            case .filterOutput: "filter-output"
            }
        }

        private static let remembering = "remember-"

        /// Returns the timeout in the name of a chain `rememberFor`; nil for other names.
        package static func affinityTimeout(_ text: String) -> UInt32? {
            guard text.hasPrefix(remembering) else { return nil }
            let seconds = UInt32(text.dropFirst(remembering.count))
            return seconds.flatMap { Self.rememberFor(seconds: $0).text == text ? $0 : nil }
        }
    }

    package let name: Name
    package var base: BaseChain?
    package var rules: [Rule]

    package init(_ name: Name, base: BaseChain? = nil, _ rules: [Rule]) {
        self.name = name
        self.base = base
        self.rules = rules
    }
}

/// The place where the kernel calls a chain.
package struct BaseChain: Sendable, Hashable {
    package enum ChainType: String, Sendable { case filter, nat }
    /// A hook; the raw values are those of `enum nf_inet_hooks`.
    package enum Hook: UInt32, Sendable {
        case prerouting = 0, input, forward, output, postrouting
    }

    package let type: ChainType
    package let hook: Hook
    package let priority: Int32

    /// The declaration in nft's syntax; the priority is a number, since nft does not accept its
    /// names for priorities at every hook.
    package var text: String {
        "type \(type.rawValue) hook \(hook) priority \(priority); policy accept;"
    }
}
