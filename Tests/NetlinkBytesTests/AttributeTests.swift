import Netlink
import NetworkTypes
import TestSupport
import Testing

/// include/uapi/linux/netlink.h: struct nlattr, NLA_ALIGNTO 4, in the machine's byte order.
@Suite struct AttributeTests {
    /// An attribute as C would lay it out.
    private func attribute(_ type: UInt16, _ payload: [UInt8]) -> [UInt8] {
        let head = [UInt16(4 + payload.count), type].flatMap { number in
            withUnsafeBytes(of: number, Array.init)
        }
        let padding = [UInt8](repeating: 0, count: (4 - payload.count % 4) % 4)
        return head + payload + padding
    }

    private func built(_ body: (inout MessageBuffer) -> Void) -> [UInt8] {
        var buffer = MessageBuffer(capacity: 16)
        body(&buffer)
        return Array(buffer.bytes)
    }

    /// What a reader finds, as values that outlive the bytes.
    private func read(_ bytes: [UInt8]) -> [(type: Int, payload: [UInt8])] {
        bytes.withUnsafeBytes { AttributeReader($0).map { ($0.type, Array($0.payload)) } }
    }

    @Test func `attributes are as the kernel reads them`() {
        #expect(built { $0.attribute(3, UInt8(7)) } == [5, 0, 3, 0, 7, 0, 0, 0])
        #expect(built { $0.attribute(3, bigEndian: 0x0102_0304) } == [8, 0, 3, 0, 1, 2, 3, 4])
        #expect(built { $0.attribute(1, "abc") } == [8, 0, 1, 0, 97, 98, 99, 0])
        #expect(built { $0.attribute(1, "abcd") } == [9, 0, 1, 0, 97, 98, 99, 100, 0, 0, 0, 0])
        #expect(built { $0.attribute(2, ip("192.0.2.1")) } == [8, 0, 2, 0, 192, 0, 2, 1])
        let wide: [UInt8] = [0x20, 1, 0x0D, 0xB8] + Array(repeating: 0, count: 11) + [1]
        #expect(built { $0.attribute(2, ip("2001:db8::1")) } == [20, 0, 2, 0] + wide)
        // union nf_inet_addr has 16 bytes in either family.
        #expect(
            built { $0.attribute(2, union: ip("192.0.2.1")) }
                == [20, 0, 2, 0, 192, 0, 2, 1] + Array(repeating: 0, count: 12)
        )
        #expect(built { $0.attribute(2, union: ip("2001:db8::1")) } == [20, 0, 2, 0] + wide)
    }

    @Test func `nests carry their flag and their length`() {
        let bytes = built { buffer in
            let outer = buffer.beginNest(1)
            buffer.attribute(2, UInt8(9))
            let inner = buffer.beginNest(3)
            buffer.attribute(4, UInt16(5))
            buffer.endNest(inner)
            buffer.endNest(outer)
        }
        let inner = attribute(3 | 0x8000, attribute(4, [5, 0]))
        #expect(bytes == attribute(1 | 0x8000, attribute(2, [9]) + inner))
        // NLA_F_NESTED and NLA_F_NET_BYTEORDER are no part of the type.
        #expect(read(bytes).map(\.type) == [1])
        #expect(read(attribute(7 | 0x4000, [])).map(\.type) == [7])
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `what was written is read again, in order`(seed: UInt64) {
        var random = Seeded(seed)
        let wanted = (0..<Int.random(in: 0...20, using: &random)).map { _ in
            (
                type: Int.random(in: 0...0x3FFF, using: &random),
                payload: (0..<Int.random(in: 0...70, using: &random)).map { _ in
                    UInt8.random(in: 0 ... .max, using: &random)
                }
            )
        }
        let bytes = built { buffer in
            for (type, payload) in wanted {
                payload.withUnsafeBytes { buffer.attribute(UInt16(type), bytes: $0) }
            }
        }
        #expect(bytes == wanted.flatMap { attribute(UInt16($0.type), $0.payload) })
        let found = read(bytes)
        #expect(found.map(\.type) == wanted.map(\.type))
        #expect(found.map(\.payload) == wanted.map(\.payload))
        // Of equal types the first counts.
        bytes.withUnsafeBytes { bytes in
            for (type, _) in wanted {
                let first = wanted.first { $0.type == type }?.payload
                #expect(AttributeReader(bytes)[type].map { Array($0.payload) } == first)
            }
        }
    }

    @Test func `numbers and texts are read in the order that was asked for`() {
        attribute(1, [1, 2, 3, 4, 5, 6, 7, 8]).withUnsafeBytes { bytes in
            let found = AttributeReader(bytes)[1]
            #expect(found?.word == 0x0403_0201 && found?.bigEndianWord == 0x0102_0304)
            #expect(found?.bigEndianShort == 0x0102 && found?.byte == 1)
            #expect(found?.bigEndianLong == 0x0102_0304_0506_0708)
            #expect(found?.address == nil)
        }
        attribute(1, Array("name".utf8) + [0, 120]).withUnsafeBytes { bytes in
            #expect(AttributeReader(bytes)[1]?.text == "name")
        }
        attribute(1, [10, 0, 0, 1]).withUnsafeBytes { bytes in
            #expect(AttributeReader(bytes)[1]?.address == ip("10.0.0.1"))
        }
    }

    @Test func `a payload that is too short is no number`() {
        attribute(1, [1]).withUnsafeBytes { bytes in
            let found = AttributeReader(bytes)[1]
            #expect(found?.word == nil && found?.bigEndianWord == nil)
            #expect(found?.bigEndianShort == nil && found?.bigEndianLong == nil)
            #expect(found?.byte == 1)
        }
        attribute(1, []).withUnsafeBytes { bytes in
            #expect(AttributeReader(bytes)[1]?.byte == nil)
            #expect(AttributeReader(bytes)[1]?.text == "")
        }
    }

    @Test func `a length that is no attribute's ends the reading`() {
        let good = attribute(1, [1, 2, 3, 4])
        for length in [0, 1, 3] as [UInt8] {
            #expect(read(good + [length, 0, 2, 0]).map(\.type) == [1])
        }
        #expect(read(good + [9, 0, 2, 0, 1, 2, 3, 4]).map(\.type) == [1])
        #expect(read(good + [8, 0, 2]).map(\.type) == [1])
        // The last attribute may lack its padding.
        #expect(read(good + [5, 0, 2, 0, 7]).map(\.type) == [1, 2])
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `bytes of any kind lead nowhere outside`(seed: UInt64) {
        var random = Seeded(seed)
        for _ in 0..<200 {
            let bytes = (0..<Int.random(in: 0...60, using: &random)).map { _ in
                // Small numbers are plausible lengths.
                UInt8.random(in: 0...(Bool.random(using: &random) ? 12 : 255), using: &random)
            }
            let found = read(bytes)
            let size = found.reduce(0) { $0 + 4 + $1.payload.count }
            #expect(size <= bytes.count)
            #expect(found.allSatisfy { (0...0x3FFF).contains($0.type) })
        }
    }
}
