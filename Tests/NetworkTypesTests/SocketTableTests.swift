import NetworkTypes
import TestSupport
import Testing

/// net/ipv4/tcp_ipv4.c: get_tcp4_sock; net/ipv6/tcp_ipv6.c: get_tcp6_sock.
@Suite struct SocketTableTests {
    private func hexadecimal(_ value: UInt64, _ width: Int) -> String {
        let digits = String(value, radix: 16, uppercase: true)
        return String(repeating: "0", count: width - digits.count) + digits
    }

    /// Each word of the address in network order, printed as a number of this machine.
    private func text(_ address: IPAddress) -> String {
        let bytes = address.networkOrderBytes
        return stride(from: 0, to: bytes.count, by: 4).map { start in
            let word = bytes[start..<(start + 4)].reversed().reduce(UInt64(0)) {
                $0 << 8 | UInt64($1)
            }
            return hexadecimal(word, 8)
        }.joined()
    }

    private func line(_ key: FrontendKey, state: Int) -> Substring {
        let end = "\(text(key.address)):\(hexadecimal(UInt64(key.port), 4))"
        return "  7: \(end) 00000000:0000 \(hexadecimal(UInt64(state), 2)) 00000000:00000000"
    }

    private func key(_ random: inout Seeded) -> FrontendKey {
        let address =
            Bool.random(using: &random)
            ? IPAddress(ipv4: UInt32.random(in: 1 ... .max, using: &random))
            : IPAddress(ipv6High: random.next() | 1, low: random.next())
        return FrontendKey(
            address,
            Bool.random(using: &random) ? .tcp : .udp,
            UInt16.random(in: 1 ... .max, using: &random)
        )
    }

    // include/net/tcp_states.h: TCP_LISTEN 10; an unconnected UDP socket is TCP_CLOSE, 7.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func `exactly the sockets that listen are found`(seed: UInt64) {
        var random = Seeded(seed)
        var sockets = ListeningSockets()
        var listening: Set<FrontendKey> = []
        let keys = (0..<60).map { _ in key(&random) }
        for key in keys {
            let state = Int.random(in: 1...12, using: &random)
            let isListening = state == (key.transport == .tcp ? 10 : 7)
            if isListening { listening.insert(key) }
            let taken = sockets.insert(line: line(key, state: state), of: key.transport)
            #expect(taken == isListening)
        }
        for key in keys { #expect(sockets.contains(key) == listening.contains(key)) }
    }

    @Test(
        arguments: [
            "", "sl  local_address rem_address   st", "0: 0100007F 00000000:0000 0A x",
            "0: 0100007F:XYZ 00000000:0000 0A x",
            "0: 0100007F0100007F:0016 00000000:0000 0A x", "0: :0016 00000000:0000 0A x",
            "0: 0100007F:10016 00000000:0000 0A x",
        ]
    )
    func `a line that is none is passed over`(line: String) {
        var sockets = ListeningSockets()
        let taken = sockets.insert(line: line[...], of: .tcp)
        #expect(!taken && sockets == ListeningSockets())
    }
}
