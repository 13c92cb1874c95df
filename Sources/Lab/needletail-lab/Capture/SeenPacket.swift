internal import NetworkTypes

/// The headers of a TCP packet, from the outermost to the innermost.
///
/// A tunnel's packet has those of its outer packet and those of the packet within.
struct SeenPacket: Hashable {
    struct Layer: Hashable {
        let source: IPAddress
        let destination: IPAddress
        /// The ports of TCP or UDP.
        var ports: (source: UInt16, destination: UInt16)?
        /// How the next layer is carried: `VXLAN 1`, `UDP 8285`, `IPIP`; nil for the last one.
        var tunnel: String?

        static func == (left: Self, right: Self) -> Bool { left.text == right.text }
        func hash(into hasher: inout Hasher) { hasher.combine(text) }

        var text: String {
            func end(_ address: IPAddress, _ port: UInt16?) -> String {
                guard let port, tunnel == nil else { return "\(address)" }
                return address.family == .ipv4 ? "\(address):\(port)" : "[\(address)]:\(port)"
            }
            return end(source, ports?.source) + " > " + end(destination, ports?.destination)
        }
    }

    let layers: [Layer]
    /// Whether it is the first packet of a connection, or the answer to it.
    let isFirst: Bool
    let isAnswer: Bool

    /// Reads a packet that begins with an IP header; nil unless it is TCP, tunnelled or not.
    init?(_ bytes: ArraySlice<UInt8>) {
        var layers: [Layer] = []
        var rest = bytes
        // A tunnel within a tunnel is nobody's here.
        while layers.count < 3 {
            guard let (header, transport, payload) = Self.header(rest) else { return nil }
            var layer = header
            switch transport {
            case 6:
                guard payload.count >= 14 else { return nil }
                layer.ports = Self.ports(payload)
                let flags = payload[payload.startIndex + 13]
                self.layers = layers + [layer]
                isFirst = flags & 0x12 == 0x02
                isAnswer = flags & 0x12 == 0x12
                return
            case 17:
                guard payload.count >= 8, let (name, length) = Self.tunnel(payload) else {
                    return nil
                }
                layer.tunnel = name
                rest = payload.dropFirst(length)
            case 4, 41:
                layer.tunnel = "IPIP"
                rest = payload
            default: return nil
            }
            layers.append(layer)
        }
        return nil
    }

    /// Text such as `172.31.0.11 > 172.31.0.12 VXLAN 1 [10.244.1.2:41000 > 10.244.2.2:8080]`.
    var text: String {
        layers.reversed().reduce("") { inner, layer in
            layer.tunnel.map { "\(layer.text) \($0) [\(inner)]" } ?? layer.text
        }
    }

    // MARK: Headers

    /// Returns the addresses, the transport's number and the payload.
    ///
    /// IPv6 extension headers do not occur in the lab.
    private static func header(
        _ bytes: ArraySlice<UInt8>
    ) -> (Layer, transport: UInt8, ArraySlice<UInt8>)? {
        guard let first = bytes.first else { return nil }
        let start = bytes.startIndex
        if first >> 4 == 4 {
            let length = Int(first & 0xF) * 4
            guard length >= 20, bytes.count >= length,
                let source = IPAddress(networkOrder: Array(bytes[start + 12..<start + 16])),
                let destination = IPAddress(networkOrder: Array(bytes[start + 16..<start + 20]))
            else { return nil }
            let layer = Layer(source: source, destination: destination)
            return (layer, bytes[start + 9], bytes.dropFirst(length))
        }
        guard first >> 4 == 6, bytes.count >= 40,
            let source = IPAddress(networkOrder: Array(bytes[start + 8..<start + 24])),
            let destination = IPAddress(networkOrder: Array(bytes[start + 24..<start + 40]))
        else { return nil }
        let layer = Layer(source: source, destination: destination)
        return (layer, bytes[start + 6], bytes.dropFirst(40))
    }

    private static func ports(_ bytes: ArraySlice<UInt8>) -> (UInt16, UInt16) {
        (word(bytes, 0), word(bytes, 2))
    }

    private static func word(_ bytes: ArraySlice<UInt8>, _ offset: Int) -> UInt16 {
        let index = bytes.startIndex + offset
        return UInt16(bytes[index]) << 8 | UInt16(bytes[index + 1])
    }

    /// Returns the name of a tunnel over UDP, and what comes before the packet within.
    private static func tunnel(_ bytes: ArraySlice<UInt8>) -> (String, length: Int)? {
        switch ports(bytes).1 {
        case UInt16(VXLANOverlay.flannel.port), UInt16(VXLANOverlay.calico.port):
            // UDP, VXLAN (its number is in the upper 24 bits of the last word), Ethernet
            guard bytes.count >= 30 else { return nil }
            let number = UInt32(word(bytes, 12)) << 8 | UInt32(word(bytes, 14) >> 8)
            return ("VXLAN \(number)", 30)
        case UDPTunnels.port: return ("UDP \(UDPTunnels.port)", 8)
        default: return nil
        }
    }
}
