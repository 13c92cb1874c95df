/// The addresses on which NodePorts answer (`nodePortAddresses`): any mix of keywords and CIDR
/// blocks.
///
/// The keywords are those of Kubernetes 1.37 (KEP-6032, `pkg/proxy/util/nodeport_addresses.go`).
package struct NodePortAddresses: Sendable, Hashable {
    /// Whether the node's primary address of each family answers (`primary`).
    package var includesPrimary = false
    /// CIDR blocks: every address of the node's interfaces in one of them answers.
    ///
    /// The keyword `all` stands for the two blocks that hold every address.
    package var blocks: [IPPrefix] = []
    /// The families whose loopback address, 127.0.0.1 or ::1, answers as well.
    ///
    /// The keyword `localhost` adds both, and a loopback block that contains the address adds its
    /// family; `all` adds none.
    package var localhost: Set<IPFamily> = []

    package init() {}

    /// Reads the words of the configuration, and skips those that `problems(in:)` reports.
    package init(_ words: [String]) {
        for word in words {
            switch Word(word) {
            case .primary: includesPrimary = true
            case .all: blocks += IPFamily.allCases.compactMap { IPPrefix(.any($0), length: 0) }
            case .localhost: localhost.formUnion(IPFamily.allCases)
            case .block(let block):
                blocks.append(block)
                // 127.0.0.2/32 (kubernetes/kubernetes#142129) and 0.0.0.0/0 do not ask for this.
                if let range = IPPrefix.loopback(block.family), range.contains(block),
                    block.contains(.loopback(block.family))
                {
                    localhost.insert(block.family)
                }
            case nil: break
            }
        }
    }

    /// What is wrong with the words of the configuration; empty if all are valid.
    package static func problems(in words: [String]) -> [String] {
        words.filter { Word($0) == nil }.map {
            "\"\($0)\" is neither a CIDR block nor one of the words primary, localhost, all"
        }
    }

    private enum Word: Equatable {
        case primary, localhost, all
        case block(IPPrefix)

        init?(_ text: String) {
            switch text {
            case "primary": self = .primary
            case "localhost": self = .localhost
            case "all": self = .all
            default:
                guard let block = IPPrefix(text) else { return nil }
                self = .block(block)
            }
        }
    }
}

extension IPAddress {
    /// The unspecified address, 0.0.0.0 or ::.
    fileprivate static func any(_ family: IPFamily) -> IPAddress {
        family == .ipv4 ? IPAddress(ipv4: 0) : IPAddress(ipv6High: 0, low: 0)
    }

    /// The loopback address, 127.0.0.1 or ::1.
    package static func loopback(_ family: IPFamily) -> IPAddress {
        family == .ipv4 ? IPAddress(ipv4: 0x7F00_0001) : IPAddress(ipv6High: 0, low: 1)
    }
}

extension IPPrefix {
    /// The loopback range, 127.0.0.0/8 or ::1/128.
    fileprivate static func loopback(_ family: IPFamily) -> IPPrefix? {
        IPPrefix(.loopback(family), length: family == .ipv4 ? 8 : 128)
    }
}
