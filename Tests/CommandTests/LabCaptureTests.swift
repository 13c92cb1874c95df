import NetworkTypes
import Testing

@testable import needletail_lab

/// What `needletail-lab capture` reads of packets, and the file that it writes.
@Suite struct LabCaptureTests {
    private func ipv4(_ transport: UInt8, _ ends: ClosedRange<UInt8>, _ rest: [UInt8]) -> [UInt8] {
        [0x45, 0, 0, 0, 0, 0, 0, 0, 64, transport, 0, 0, 10, 0, 0, ends.lowerBound]
            + [10, 0, 0, ends.upperBound] + rest
    }

    private func ipv6(_ transport: UInt8, _ rest: [UInt8]) -> [UInt8] {
        let address = [0xFD] + [UInt8](repeating: 0, count: 14)
        return [0x60, 0, 0, 0, 0, 0, transport, 64] + address + [1] + address + [2] + rest
    }

    /// Port 4660 to port 80.
    private func tcp(_ flags: UInt8) -> [UInt8] {
        [0x12, 0x34, 0, 80] + [UInt8](repeating: 0, count: 9) + [flags]
    }

    private func udp(_ port: UInt16, _ rest: [UInt8]) -> [UInt8] {
        [0x12, 0x34, UInt8(port >> 8), UInt8(port & 0xFF), 0, 0, 0, 0] + rest
    }

    @Test func `addresses and ports of both families are read`() throws {
        let first = try #require(SeenPacket(ipv4(6, 1...2, tcp(0x02))[...]))
        #expect(first.text == "10.0.0.1:4660 > 10.0.0.2:80")
        #expect(first.isFirst && !first.isAnswer)
        let answer = try #require(SeenPacket(ipv6(6, tcp(0x12))[...]))
        #expect(answer.text == "[fd00::1]:4660 > [fd00::2]:80")
        #expect(answer.isAnswer && !answer.isFirst)
        let later = try #require(SeenPacket(ipv4(6, 1...2, tcp(0x18))[...]))
        #expect(!later.isFirst && !later.isAnswer)
    }

    @Test func `options of the header are no ports`() throws {
        var bytes = ipv4(6, 1...2, [1, 1, 1, 1] + tcp(0x02))
        bytes[0] = 0x46
        #expect(SeenPacket(bytes[...])?.text == "10.0.0.1:4660 > 10.0.0.2:80")
    }

    @Test func `tunnels are shown around what they carry`() {
        let inner = ipv4(6, 3...4, tcp(0x02))
        let ethernet = [UInt8](repeating: 0, count: 14)
        let vxlan: [UInt8] = [8, 0, 0, 0, 0x00, 0x10, 0x00, 0]
        let cases: [([UInt8], String)] = [
            (ipv4(17, 1...2, udp(8472, [8, 0, 0, 0, 0, 0, 1, 0] + ethernet + inner)), "VXLAN 1"),
            (ipv4(17, 1...2, udp(4789, vxlan + ethernet + inner)), "VXLAN 4096"),
            (ipv4(17, 1...2, udp(8285, inner)), "UDP 8285"), (ipv4(4, 1...2, inner), "IPIP"),
        ]
        for (bytes, name) in cases {
            #expect(
                SeenPacket(bytes[...])?.text
                    == "10.0.0.1 > 10.0.0.2 \(name) [10.0.0.3:4660 > 10.0.0.4:80]"
            )
        }
        let inIPv6 = ipv6(17, udp(8472, [8, 0, 0, 0, 0, 0, 1, 0] + ethernet + inner))
        #expect(SeenPacket(inIPv6[...])?.text.hasPrefix("fd00::1 > fd00::2 VXLAN 1 [") == true)
    }

    @Test func `what is cut off, or no TCP, is left out`() {
        let ethernet = [UInt8](repeating: 0, count: 14)
        let vxlan = udp(8472, [8, 0, 0, 0, 0, 0, 1, 0] + ethernet + ipv4(6, 3...4, tcp(0x02)))
        for bytes in [ipv4(17, 1...2, vxlan), ipv6(6, tcp(0x02)), ipv4(4, 1...2, ipv6(6, tcp(2)))] {
            for count in bytes.indices { #expect(SeenPacket(bytes[..<count]) == nil, "\(count)") }
            #expect(SeenPacket(bytes[...]) != nil)
        }
        #expect(SeenPacket(ipv4(17, 1...2, udp(53, []))[...]) == nil)
        #expect(SeenPacket(ipv4(1, 1...2, [8, 0])[...]) == nil)
        // A packet of tunnels without end
        let deep = (0..<9).reduce(ipv4(6, 1...2, tcp(2))) { inner, _ in ipv4(4, 1...2, inner) }
        #expect(SeenPacket(deep[...]) == nil)
    }

    // MARK: The file

    private func sighting(_ place: String, _ interface: String, _ time: Int64) throws -> Sighting {
        let bytes = ipv4(6, 1...2, tcp(0x02)) + [0xAA]
        return Sighting(
            time: time,
            place: place,
            interface: interface,
            isOutgoing: true,
            packet: try #require(SeenPacket(bytes[...])),
            bytes: bytes
        )
    }

    /// Splits a file into blocks: their types and bodies.
    private func blocks(_ bytes: [UInt8]) throws -> [(type: UInt32, body: [UInt8])] {
        func word(_ offset: Int) -> UInt32 {
            bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
        }
        var blocks: [(type: UInt32, body: [UInt8])] = []
        var offset = 0
        while offset < bytes.count {
            let length = Int(word(offset + 4))
            try #require(length >= 12 && length % 4 == 0 && offset + length <= bytes.count)
            #expect(word(offset + length - 4) == UInt32(length), "the length stands at both ends")
            blocks.append((word(offset), Array(bytes[offset + 8..<offset + length - 4])))
            offset += length
        }
        return blocks
    }

    @Test func `a file has an interface for each hop, and every packet`() throws {
        let time: Int64 = 1_800_000_000_123_456_789
        let file = CaptureFile([
            try sighting("node1", "cni0", time), try sighting("node1", "eth0", time + 1),
            try sighting("node1", "cni0", time + 2),
        ])
        let blocks = try blocks(file.bytes)
        #expect(blocks.map(\.type) == [0x0A0D_0D0A, 1, 1, 6, 6, 6])
        #expect(blocks[0].body.prefix(4) == [0x4D, 0x3C, 0x2B, 0x1A])
        // Packets that begin with their IP header, names, nanoseconds
        #expect(blocks[1].body.prefix(4) == [101, 0, 0, 0])
        let name = Array("node1 cni0".utf8)
        #expect(Array(blocks[1].body[8..<22]) == [2, 0, 10, 0] + name)
        #expect(Array(blocks[1].body.suffix(12)) == [9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0])
        let interfaces = blocks[3...].map { $0.body[0] }
        #expect(interfaces == [0, 1, 0])
        let last = blocks[5].body
        let halves = [4, 8, 12].map { offset in
            last.withUnsafeBytes { bytes in
                bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
            }
        }
        #expect(UInt64(halves[0]) << 32 | UInt64(halves[1]) == UInt64(time + 2))
        #expect(halves[2] == 35 && last.count == 20 + 36)
    }

    // MARK: The picture

    @Test func `a picture has a lane for each place, and a row for each hop`() throws {
        let inner = ipv4(6, 3...4, tcp(0x02))
        func hop(_ place: String, _ interface: String, _ bytes: [UInt8]) throws -> Sighting {
            Sighting(
                time: 0,
                place: place,
                interface: interface,
                isOutgoing: false,
                packet: try #require(SeenPacket(bytes[...])),
                bytes: bytes
            )
        }
        let picture = WayPicture(
            "a <b> & c",
            [
                try hop("pod-web-1", "eth0", ipv4(6, 3...9, tcp(0x02))),
                try hop("node1", "veth1234", inner),
                try hop("node1", "tunl0", ipv4(4, 1...2, inner)),
            ]
        )
        .svg
        #expect(picture.contains("<title>a &lt;b&gt; &amp; c</title>"))
        #expect(picture.ranges(of: ">node1</text>").count == 1)
        #expect(picture.ranges(of: "<rect").count == 4, "three hops and the ground")
        #expect(picture.contains("veth…") && !picture.contains("veth1234"))
        // Without the client's port; the colours are of what is sent, translated, and in a tunnel.
        for (color, text) in [
            ("#4c78a8", "10.0.0.3 &gt; 10.0.0.9:80"), ("#54a24b", "10.0.0.3 &gt; 10.0.0.4:80"),
            ("#e45756", "10.0.0.1 &gt; 10.0.0.2 IPIP [10.0.0.3 &gt; 10.0.0.4:80]"),
        ] {
            #expect(
                picture.contains(
                    "fill=\"\(color)\" font-family=\"monospace\" font-size=\"12\">\(text)<"
                )
            )
        }
    }
}
