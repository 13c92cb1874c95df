internal import Netlink
internal import NetworkTypes

/// Whose connections are watched.
enum WatchTarget: Sendable, Hashable {
    /// - Parameter port: the name or the number of a port; nil for all
    case service(String, port: String?)
    case frontend(ConnectionFilter.Target)

    init(_ text: String) throws {
        if let address = IPAddress(text) {
            self = .frontend(.init(address, nil, port: nil))
        } else if let end = Wanted.endpoint(text) {
            self = .frontend(.init(end.address, end.transport, port: end.port))
        } else {
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            let name = parts.last?.split(separator: ":", omittingEmptySubsequences: false) ?? []
            guard parts.count == 2, (1...2).contains(name.count),
                !parts[0].isEmpty, name.allSatisfy({ !$0.isEmpty })
            else {
                throw Failure(
                    "\"\(text)\" is neither NAMESPACE/NAME, NAMESPACE/NAME:PORT, ADDRESS, ADDRESS:PORT"
                        + " nor ADDRESS:PORT/PROTOCOL"
                )
            }
            self = .service("\(parts[0])/\(name[0])", port: name.count == 2 ? "\(name[1])" : nil)
        }
    }
}

extension IPPrefix {
    /// Reads the client of `--from`: an address or a block.
    init(client text: String) throws {
        if let address = IPAddress(text) {
            self.init(host: address)
        } else if let block = IPPrefix(text) {
            self = block
        } else {
            throw Failure("--from: \"\(text)\" is neither ADDRESS nor ADDRESS/LENGTH")
        }
    }
}
