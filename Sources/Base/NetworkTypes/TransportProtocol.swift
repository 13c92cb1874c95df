/// The protocols that a Service port can have; the raw value is the protocol number of IANA.
package enum TransportProtocol: UInt8, Sendable, Hashable, CaseIterable, Comparable {
    case tcp = 6
    case udp = 17
    case sctp = 132

    /// Reads Kubernetes' name of a protocol, such as `TCP`.
    package init?(kubernetesName: String) {
        switch kubernetesName {
        case "TCP": self = .tcp
        case "UDP": self = .udp
        case "SCTP": self = .sctp
        default: return nil
        }
    }

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

extension TransportProtocol: CustomStringConvertible {
    /// The lower-case name that nft and `/etc/protocols` use.
    package var description: String {
        switch self {
        case .tcp: "tcp"
        case .udp: "udp"
        case .sctp: "sctp"
        }
    }
}
