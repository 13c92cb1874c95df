import Netlink
import NetworkTypes
import TestSupport
import Testing

/// include/uapi/linux/netlink.h: struct nlmsghdr, struct nlmsgerr.
@Suite struct MessageTests {
    private struct Seen: Equatable {
        var type: Int
        var flags = 0
        var sequence: UInt32
        var payload: [UInt8]
    }

    private func little<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian, Array.init)
    }

    private func message(_ seen: Seen) -> [UInt8] {
        let padding = [UInt8](repeating: 0, count: (4 - seen.payload.count % 4) % 4)
        return little(UInt32(16 + seen.payload.count)) + little(UInt16(seen.type))
            + little(UInt16(seen.flags)) + little(seen.sequence) + little(UInt32(0))
            + seen.payload + padding
    }

    private func read(_ bytes: [UInt8]) -> [Seen] {
        bytes.withUnsafeBytes { bytes in
            NetlinkMessages(bytes).map {
                Seen(
                    type: $0.type,
                    flags: $0.flags,
                    sequence: $0.sequence,
                    payload: Array($0.payload)
                )
            }
        }
    }

    @Test func `a request begins with its length, type, flags and number`() {
        var buffer = MessageBuffer(capacity: 8)
        buffer.beginMessage(type: 0x0A09, flags: 0x0105, sequence: 7)
        buffer.appendNetfilterHeader(family: 2, resource: 0x0102)
        buffer.attribute(1, UInt32(5))
        buffer.endMessage()
        // struct nfgenmsg: family, version 0, and a resource in network order.
        let payload: [UInt8] = [2, 0, 1, 2, 8, 0, 1, 0, 5, 0, 0, 0]
        let seen = Seen(type: 0x0A09, flags: 0x0105, sequence: 7, payload: payload)
        #expect(Array(buffer.bytes) == message(seen))
        #expect(read(Array(buffer.bytes)) == [seen])
    }

    @Test func `a flag is added to the last message alone`() {
        var buffer = MessageBuffer()
        for sequence in [1, 2] as [UInt32] {
            buffer.beginMessage(type: 1, flags: 1, sequence: sequence)
            buffer.endMessage()
        }
        buffer.addFlagsToLastMessage(4)
        #expect(read(Array(buffer.bytes)).map(\.flags) == [1, 5])
        let built = message(Seen(type: 9, flags: 2, sequence: 3, payload: []))
        built.withUnsafeBytes { buffer.appendMessage($0) }
        buffer.addFlagsToLastMessage(8)
        #expect(read(Array(buffer.bytes)).map(\.flags) == [1, 5, 10])
        buffer.removeAll()
        #expect(buffer.count == 0 && read(Array(buffer.bytes)).isEmpty)
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `a buffer that grows keeps what it has`(seed: UInt64) {
        var random = Seeded(seed)
        var buffer = MessageBuffer(capacity: 8)
        var wanted: [Seen] = []
        for sequence in 0..<40 as Range<UInt32> {
            let payload = (0..<4 * Int.random(in: 0...100, using: &random)).map { _ in
                UInt8.random(in: 0 ... .max, using: &random)
            }
            buffer.beginMessage(type: 16, flags: 0, sequence: sequence)
            payload.withUnsafeBytes { buffer.append(bytes: $0) }
            buffer.endMessage()
            wanted.append(Seen(type: 16, sequence: sequence, payload: payload))
        }
        #expect(read(Array(buffer.bytes)) == wanted)
        #expect(Array(buffer.bytes) == wanted.flatMap(message))
    }

    @Test func `a length that is no message's ends the reading`() {
        let good = message(Seen(type: 16, sequence: 1, payload: [1, 2, 3, 4]))
        #expect(read(good + little(UInt32(15)) + Array(repeating: 0, count: 12)).count == 1)
        #expect(read(good + little(UInt32(17)) + Array(repeating: 0, count: 12)).count == 1)
        #expect(read(good + Array(good.dropLast(1))).count == 1)
        #expect(read(Array(good.prefix(15))).isEmpty)
        // Lengths that are no multiple of four are followed by padding.
        let odd = message(Seen(type: 16, sequence: 2, payload: [1]))
        #expect(read(odd + good).map(\.sequence) == [2, 1])
    }

    private func check(_ seen: Seen, _ body: (NetlinkMessage) -> Void) {
        message(seen).withUnsafeBytes { bytes in
            var messages = NetlinkMessages(bytes)
            guard let message = messages.next() else {
                Issue.record("no message")
                return
            }
            body(message)
        }
    }

    // NLMSG_ERROR 2, NLMSG_DONE 3, NLMSG_OVERRUN 4, NLM_F_DUMP_INTR 0x10.
    @Test func `what kind a message is`() {
        check(Seen(type: 2, sequence: 1, payload: little(Int32(-17)))) { message in
            #expect(message.isError && !message.isDone && message.errorCode == 17)
            #expect(message.errorText == nil)
        }
        check(Seen(type: 2, sequence: 1, payload: little(Int32(0)))) { #expect($0.errorCode == 0) }
        check(Seen(type: 2, sequence: 1, payload: [1])) { #expect($0.errorCode == 0) }
        check(Seen(type: 2, sequence: 1, payload: little(Int32.min))) {
            #expect($0.errorCode == .min)
        }
        check(Seen(type: 3, flags: 0x10, sequence: 1, payload: [])) {
            #expect($0.isDone && $0.wasInterrupted && !$0.isOverrun)
        }
        check(Seen(type: 4, sequence: 1, payload: [])) {
            #expect($0.isOverrun && !$0.wasInterrupted)
        }
    }

    // NLM_F_CAPPED 0x100, NLM_F_ACK_TLVS 0x200, NLMSGERR_ATTR_MSG 1: behind the header of the
    // message that failed, and behind its body unless that is left out.
    @Test func `the kernel's own words are behind the message that failed`() {
        let words = [UInt8(12), 0, 1, 0] + Array("too bad".utf8) + [0]
        let failed = message(Seen(type: 99, sequence: 1, payload: [9, 9, 9, 9, 9]))
        let capped = little(Int32(-22)) + failed.prefix(16) + words
        check(Seen(type: 2, flags: 0x300, sequence: 1, payload: capped)) {
            #expect($0.errorText == "too bad" && $0.errorCode == 22)
        }
        let whole = little(Int32(-22)) + failed + words
        check(Seen(type: 2, flags: 0x200, sequence: 1, payload: whole)) {
            #expect($0.errorText == "too bad")
        }
        check(Seen(type: 2, flags: 0, sequence: 1, payload: whole)) { #expect($0.errorText == nil) }
        // A length of the failed message that leads outside is no words.
        var damaged = whole
        damaged.replaceSubrange(4..<8, with: little(UInt32.max - 3))
        check(Seen(type: 2, flags: 0x200, sequence: 1, payload: damaged)) {
            #expect($0.errorText == nil)
        }
    }

    @Test func `attributes are behind a header of any length, or there are none`() {
        let payload: [UInt8] = [10, 0, 0, 0, 5, 0, 1, 0, 7, 0, 0, 0]
        check(Seen(type: 16, sequence: 1, payload: payload)) { message in
            #expect(message.netfilterFamily == 10)
            #expect(message.netfilterAttributes[1]?.byte == 7)
            #expect(Array(message.attributes(after: 100)).isEmpty)
        }
        check(Seen(type: 16, sequence: 1, payload: [])) { message in
            #expect(message.netfilterFamily == 0)
            #expect(Array(message.netfilterAttributes).isEmpty)
        }
    }
}

/// include/uapi/asm-generic/errno.h has the numbers.
@Suite struct NetlinkErrorTests {
    @Test func `an error says what was attempted, why, and the kernel's words`() {
        #expect(
            NetlinkError("adding a chain", code: 17, kernelMessage: "chain exists").description
                == "adding a chain: File exists [errno 17] (chain exists)"
        )
        #expect(NetlinkError("no socket", code: 0).description == "no socket")
    }

    @Test(
        arguments: [
            (1, [true, false, false, false, false]), (13, [true, false, false, false, false]),
            (2, [false, true, false, false, false]), (22, [false, false, true, false, false]),
            (93, [false, false, true, false, false]), (95, [false, false, true, false, false]),
            (97, [false, false, true, false, false]), (90, [false, false, false, true, false]),
            (105, [false, false, false, true, false]), (85, [false, false, false, false, true]),
            (12, [false, false, false, false, false]),
        ] as [(Int32, [Bool])]
    )
    func `an errno is of one kind at most`(code: Int32, kinds: [Bool]) {
        let error = NetlinkError("x", code: code)
        #expect(
            [
                error.isPermissionDenied, error.isNotFound, error.isUnsupported, error.isTooLarge,
                error.isStaleGeneration,
            ] == kinds
        )
    }

    @Test func `what is lacking is told beside the same error`() {
        let error = NetlinkError("x", code: 2, kernelMessage: "y").lacking(.scheduler)
        #expect(error.lack == .scheduler && error.code == 2 && error.kernelMessage == "y")
    }
}
