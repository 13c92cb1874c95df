import Netlink
import NetworkTypes
import TestSupport
import Testing

/// Tests of the reader of `NFT_MSG_TRACE`, with what Linux 6.18 has sent about four packets.
@Suite struct PacketTraceTests {
    private func events(_ name: String) throws -> [TraceEvent] {
        let bytes = [UInt8](try Fixture.data("../Fuzz/Corpus/trace/\(name)"))
        return bytes.withUnsafeBytes { NetlinkMessages($0).compactMap { TraceEvent($0) } }
    }

    /// `chain handle verdict target`.
    private func text(_ event: TraceEvent) -> String {
        let rule = event.rule.map { " \($0)" } ?? ""
        return "\(event.chain)\(rule) \(event.verdict ?? 99)\(event.target.map { " \($0)" } ?? "")"
    }

    @Test func `a packet that is balanced`() throws {
        let events = try events("balanced")
        let own = events.filter { $0.table == "needletail" }
        #expect(
            own.map(text) == [
                "out 5 -3 svc", "svc 6 1", "filt 8 -1", "filt -1", "filt 1", "post 9 1",
            ]
        )
        #expect(own.map(\.kind) == [.rule, .rule, .rule, .rule, .policy, .rule])
        #expect(own.map(\.mark) == [0, 0, 5, 5, 5, 5])
        #expect(Set(events.map(\.id)).count == 1 && events.allSatisfy { $0.family == 2 })
        let calls = events.compactMap(\.packet)
        #expect(calls.allSatisfy { $0.inputInterface == nil && $0.outputInterface != nil })
        #expect(calls.allSatisfy { $0.transport == 6 && !$0.isLoopedBack })
        let client = AddressAndPort(ip("10.0.0.1"), 40001)
        let frontend = AddressAndPort(ip("10.96.0.10"), 80)
        let endpoint = AddressAndPort(ip("10.0.0.7"), 8080)
        #expect(calls.map(\.source) == Array(repeating: client, count: 5))
        #expect(calls.map(\.destination) == [frontend, frontend, endpoint, endpoint, endpoint])
    }

    @Test func `a packet that the node sends to itself gets another number`() throws {
        let events = try events("looped")
        let first = try #require(events.first?.id)
        let syn = events.filter { $0.packet?.source.port == 40002 }
        #expect(syn.contains { $0.id == first } && syn.contains { $0.id != first })
        #expect(syn.filter { $0.id == first }.allSatisfy { $0.packet?.isLoopedBack == true })
        let back = syn.filter { $0.id != first }
        #expect(
            back.allSatisfy { $0.packet?.inputInterface == 1 && $0.packet?.outputInterface == nil }
        )
    }

    @Test func `a packet that is refused is dropped by the rule`() throws {
        let last = try #require(try events("refused").last)
        #expect(last.kind == .rule && last.verdict == 0 && last.chain == "filt")
    }

    @Test func `a datagram of IPv6`() throws {
        let calls = try events("datagram6").compactMap(\.packet)
        #expect(calls.first?.source == AddressAndPort(ip("fd00::1"), 40004))
        #expect(calls.first?.destination == AddressAndPort(ip("fd00:96::a"), 53))
        #expect(calls.last?.destination == AddressAndPort(ip("fd00::7"), 5353))
        #expect(calls.allSatisfy { $0.transport == 17 })
    }

    /// Whatever is cut off or changed, nothing is read beyond the end.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func `damaged notifications are read or left out`(seed: UInt64) throws {
        var random = Seeded(seed)
        for name in ["balanced", "looped", "refused", "datagram6"] {
            let whole = [UInt8](try Fixture.data("../Fuzz/Corpus/trace/\(name)"))
            var bytes = Array(whole.prefix(Int.random(in: 0...whole.count, using: &random)))
            for _ in 0..<3 where !bytes.isEmpty {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                bytes[index] = UInt8.random(in: 0...255, using: &random)
            }
            let events = bytes.withUnsafeBytes {
                NetlinkMessages($0).compactMap { TraceEvent($0) }
            }
            #expect(events.count <= whole.count / 16)
        }
    }
}
