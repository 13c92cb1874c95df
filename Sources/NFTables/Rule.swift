package import NetworkTypes

/// One part of a rule: a match or an action, printable and linearizable.
package enum Statement: Sendable, Hashable {
    package enum ConnectionState: UInt32, Sendable { case new = 8, invalid = 1 }

    case lookup([PacketField], in: SetID, negated: Bool = false)
    case state(ConnectionState)
    /// `ct status dnat`
    case isDNATed
    /// `fib saddr type local`
    case sourceIsLocal(Bool)
    /// The interface that the packet came in by is another one.
    case inputInterfaceIsNot(name: String, isPrefix: Bool)
    case transport(TransportProtocol, isEqual: Bool = true)
    /// Sends the connection where the map says; goes on with the next rule if it says nothing.
    case dnat([PacketField], map: SetID)
    /// Decides that the connection goes where it was sent: rules behind this one cannot translate it.
    case keepDestination
    case masquerade
    /// `update @affinity`, with seconds.
    case remember(timeout: UInt32)
    /// Goes where the map says; goes on with the next rule if it says nothing.
    case verdict([PacketField], map: SetID)
    /// Sets or clears the bit of the packet mark that sends a packet to this node.
    case steer(Bool)
    case counter
    case reject(withReset: Bool)
    case drop
    case returning
    case jump(Chain.Name)
    case goto(Chain.Name)
}

/// The packet mark by which packets to external frontends reach IPVS.
package enum SteeringMark {
    /// Neither kube-proxy's and kubelet's (14, 15) nor one of the bits that network plugins use.
    package static let bit: UInt32 = 1 << 12
}

package struct Rule: Sendable, Hashable {
    package let statements: [Statement]

    package init(_ statements: Statement...) { self.statements = statements }
}

package struct Chain: Sendable, Hashable {
    /// Chains by what they do; base chains by their hook.
    package enum Name: Sendable, Hashable {
        case sourceRanges, invalid, services, pick, pickLocal, masquerading, noService
        /// Leads to the chain for the frontend's timeout.
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

        /// The timeout in the name of a chain `rememberFor`.
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

/// Where the kernel calls a chain.
package struct BaseChain: Sendable, Hashable {
    package enum ChainType: String, Sendable { case filter, nat }
    /// The raw values are `enum nf_inet_hooks`.
    package enum Hook: UInt32, Sendable {
        case prerouting = 0, input, forward, output, postrouting
    }

    package let type: ChainType
    package let hook: Hook
    package let priority: Int32

    /// nft's names for priorities are not legal at every hook, so this prints numbers.
    package var text: String {
        "type \(type.rawValue) hook \(hook) priority \(priority); policy accept;"
    }
}
