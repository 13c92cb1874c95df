import Glibc
import NFTablesKernel
import Netlink
import NetworkTypes
import Testing

/// Readers whose sockets talk to a peer in place of the kernel.
@Suite struct PeerTests {
    private typealias Answer = AnsweringPeer.Answer

    /// `RTM_NEWADDR` with an address of the interface with index 1.
    private func address(_ text: String) -> Answer {
        .message(type: 20) { message in
            message.append(UInt32(0))
            message.append(UInt32(1))
            if let address = IPAddress(text) { message.attribute(2, address) }
        }
    }

    private func addresses(_ peer: AnsweringPeer) throws -> [String] {
        try NetlinkSocket.withPeer(peer) { try InterfaceAddresses.read().map(\.description) }
    }

    @Test func `a dump that was interrupted is read again from its beginning`() throws {
        let interrupted: UInt16 = 0x10
        let peer = AnsweringPeer([
            [address("192.0.2.1")], [address("192.0.2.2"), .done(flags: interrupted)],
            [address("192.0.2.3"), .done()],
        ])
        #expect(try addresses(peer) == ["192.0.2.3"])
        #expect(peer.isUsedUp)
    }

    @Test func `a dump that ends with an error has no result`() throws {
        let peer = AnsweringPeer([[address("192.0.2.1"), .error(EPERM)]])
        let error = #expect(throws: NetlinkError.self) { try addresses(peer) }
        #expect(error?.code == EPERM)
    }

    @Test func `a failure of the socket is passed on`() throws {
        let lost = NetlinkError("receiving", code: ENOBUFS)
        let peer = AnsweringPeer([.success([address("192.0.2.1")]), .failure(lost)])
        let error = #expect(throws: NetlinkError.self) { try addresses(peer) }
        #expect(error?.isTooLarge == true)
    }

    @Test func `a socket that was opened before talks to the kernel`() throws {
        let socket = try NetlinkSocket(.route)
        let received = try NetlinkSocket.withPeer(AnsweringPeer([[.done()]])) {
            try socket.receive(timeout: 0) { _ in }
        }
        #expect(!received)
    }

    @Test(arguments: [0, 1, 2]) func `a family's number needs two bytes`(length: Int) throws {
        let peer = AnsweringPeer([
            [
                .message(type: 16) { message in
                    message.appendGenericHeader(command: 1, version: 1)
                    let number: [UInt8] = Array([7, 0].prefix(length))
                    number.withUnsafeBytes { message.attribute(1, bytes: $0) }
                }
            ]
        ])
        try NetlinkSocket.withPeer(peer) {
            var socket = try NetlinkSocket(.generic)
            #expect(try GenericNetlink.family("IPVS", &socket) == (length == 2 ? 7 : nil))
        }
    }

    // MARK: Packets that were stopped

    /// `NFT_MSG_NEWRULE` with a counter that has counted so many packets.
    private func rule(counter: UInt64) -> Answer {
        .message(type: 10 << 8 | 6) { message in
            message.appendNetfilterHeader(family: 2)
            let expressions = message.beginNest(4)
            let expression = message.beginNest(1)
            message.attribute(1, "counter")
            let data = message.beginNest(2)
            message.attribute(2, counter.bigEndian)
            message.endNest(data)
            message.endNest(expression)
            message.endNest(expressions)
        }
    }

    private func reading(counter: UInt64) -> [[Answer]] {
        TransportProtocol.allCases.map { _ in [.done()] } + [[rule(counter: counter), .done()]]
    }

    @Test func `a counter that another program sets back counts from there`() throws {
        let counters: [UInt64] = [5, 7, 1, .max]
        let peer = AnsweringPeer([[.acknowledgements]] + counters.flatMap(reading))
        try NetlinkSocket.withPeer(peer) {
            let stopped = try StoppedPackets(.ipv4, to: StoppedPlaces(), from: nil)
            let missed = try counters.map { _ in try stopped.read().missed }
            #expect(missed == [5, 2, 1, .max - 1])
        }
    }
}
