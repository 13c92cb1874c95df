internal import NetworkTypes

/// Whose connections are meant.
struct ConnectionSource {
    let address: IPAddress
    let port: UInt16?

    init(_ text: String) throws {
        if let address = IPAddress(text) {
            (self.address, port) = (address, nil)
        } else if let end = Wanted.endpoint(text), end.transport == nil {
            (address, port) = (end.address, end.port)
        } else {
            throw Failure("--from: \"\(text)\" is neither ADDRESS nor ADDRESS:PORT")
        }
    }
}

/// What is to be explained.
enum Wanted {
    case service(String)
    case frontend(IPAddress, port: UInt16?, TransportProtocol?)

    init(_ text: String) throws {
        if let address = IPAddress(text) {
            self = .frontend(address, port: nil, nil)
        } else if let end = Self.endpoint(text) {
            self = .frontend(end.address, port: end.port, end.transport)
        } else {
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
                throw Failure(
                    "\"\(text)\" is neither NAMESPACE/NAME nor ADDRESS, ADDRESS:PORT or"
                        + " ADDRESS:PORT/PROTOCOL"
                )
            }
            self = .service(text)
        }
    }

    /// Reads `10.96.0.10:53/udp`.
    static func endpoint(
        _ text: String
    ) -> (address: IPAddress, port: UInt16, transport: TransportProtocol?)? {
        let parts = text.split(separator: "/", maxSplits: 1)
        guard let place = parts.first, let colon = place.lastIndex(of: ":"),
            let port = UInt16(place[place.index(after: colon)...])
        else { return nil }
        let host = place[..<colon].filter { !"[]".contains($0) }
        let transport = parts.dropFirst().first.map {
            TransportProtocol(kubernetesName: $0.uppercased())
        }
        guard let address = IPAddress(String(host)), transport != .some(nil) else { return nil }
        return (address, port, transport ?? nil)
    }

    func includes(_ key: FrontendKey) -> Bool {
        guard case .frontend(let address, let port, let transport) = self else { return false }
        return key.address == address && port ?? key.port == key.port
            && transport ?? key.transport == key.transport
    }
}
