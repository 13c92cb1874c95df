import Netlink
import NetworkTypes
import TestSupport
import Testing

/// Calls the body with the first message in the bytes; nil if there is none.
func withMessage<Value>(_ bytes: [UInt8], _ body: (NetlinkMessage) -> Value?) -> Value? {
    bytes.withUnsafeBytes { bytes in
        var messages = NetlinkMessages(bytes)
        return messages.next().flatMap(body)
    }
}

func event(_ bytes: [UInt8]) -> ConnectionEvent? { withMessage(bytes, ConnectionEvent.init) }

@Suite struct ConnectionEventTests {
    private func recorded(_ name: String) throws -> ConnectionEvent? {
        event(try #require(try Fixture.trackingMessages()[name]))
    }

    @Test func `of a TCP connection four changes have a name`() throws {
        for (name, change) in [
            ("new tcp", .new), ("syn-received", nil), ("established", .assured), ("fin-wait", nil),
            ("last-ack", nil), ("time-wait", .closed), ("destroyed tcp", .destroyed),
        ] as [(String, ConnectionEvent.Change?)] {
            let event = try recorded(name)
            #expect(event?.change == change, "\(name)")
            guard let connection = event?.connection else { continue }
            #expect(connection.clientAddress == ip("127.0.0.1") && connection.clientPort == 40312)
            #expect(connection.frontend == FrontendKey(ip("10.96.0.10"), .tcp, 80))
            #expect(connection.endpointAddress == ip("10.244.1.2"))
            #expect(connection.endpointPort == 8080 && connection.isTranslated)
            #expect(event?.isAssured == (change != .new))
            #expect(event?.id == 0xBAC4_F933)
        }
    }

    @Test func `the end says how much, and how long`() throws {
        let event = try #require(try recorded("destroyed tcp"))
        #expect(event.sent?.packets == 6 && event.sent?.bytes == 325)
        #expect(event.received?.packets == 4 && event.received?.bytes == 224)
        let (began, ended): (UInt64, UInt64) = (0x18EB_A34B_B011_F139, 0x18EB_A34B_C464_6A4D)
        #expect(event.lifetime == ended - began)
        let beginning = try #require(try recorded("new tcp"))
        #expect(beginning.sent == nil && beginning.received == nil && beginning.lifetime == nil)
    }

    @Test func `a UDP flow of IPv6 begins and ends`() throws {
        let new = try #require(try recorded("new udp ipv6"))
        #expect(new.change == .new)
        #expect(new.connection.frontend == FrontendKey(ip("fd00::a"), .udp, 53))
        #expect(new.connection.endpointAddress == ip("fd00:1::2"))
        #expect(try recorded("replied udp ipv6") == nil)
        #expect(try recorded("destroyed udp ipv6")?.change == .destroyed)
    }

    @Test func `a connection that was refused was never assured`() throws {
        let end = try #require(try recorded("destroyed refused"))
        #expect(end.change == .destroyed && !end.isAssured && !end.connection.isTranslated)
    }

    @Test func `a message that is cut off or damaged leads nowhere outside`() throws {
        for (name, bytes) in try Fixture.trackingMessages() {
            for count in bytes.indices {
                var cut = Array(bytes.prefix(count))
                #expect(event(cut) == nil, "\(name)")
                // The same with a header that knows it.
                guard count >= 4 else { continue }
                withUnsafeBytes(of: UInt32(count)) { cut.replaceSubrange(0..<4, with: $0) }
                _ = event(cut)
                for value in [0, 3, 0xFF] as [UInt8] {
                    var damaged = bytes
                    damaged[count] = value
                    _ = event(damaged)
                }
            }
        }
    }

    @Test func `messages of other subsystems are none`() throws {
        var bytes = try #require(try Fixture.trackingMessages()["new tcp"])
        // NFNL_SUBSYS_NFTABLES
        bytes[5] = 10
        #expect(event(bytes) == nil)
    }
}
