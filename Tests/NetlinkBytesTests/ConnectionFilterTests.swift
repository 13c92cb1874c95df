import Netlink
import NetworkTypes
import TestSupport
import Testing

/// The kernel's program and `matches` say the same about every message.
@Suite struct ConnectionFilterTests {
    private typealias Target = ConnectionFilter.Target

    /// Whether the program lets a message through.
    private func passes(_ bytes: [UInt8], _ filter: ConnectionFilter) -> Bool? {
        FilterMachine.passes(bytes, filter.program)
    }

    /// Whether a message is wanted, by what was read from it.
    private func isWanted(_ bytes: [UInt8], _ filter: ConnectionFilter) -> Bool {
        event(bytes).map { filter.matches($0.connection) } ?? false
    }

    private let filters = [
        ConnectionFilter(targets: nil),
        ConnectionFilter(targets: []),
        ConnectionFilter(targets: nil, client: prefix("127.0.0.0/8")),
        ConnectionFilter(targets: nil, client: prefix("128.0.0.0/8")),
        ConnectionFilter(targets: nil, client: prefix("0.0.0.0/0")),
        ConnectionFilter(targets: nil, client: prefix("::1/128")),
        ConnectionFilter(targets: nil, client: prefix("::/0")),
        ConnectionFilter(targets: nil, client: prefix("::/100")),
        ConnectionFilter(targets: nil, client: prefix("fd00::/7")),
        ConnectionFilter(targets: [Target(ip("10.96.0.10"), .tcp, port: 80)]),
        ConnectionFilter(targets: [Target(ip("10.96.0.10"), .udp, port: 80)]),
        ConnectionFilter(targets: [Target(ip("10.96.0.10"), .tcp, port: 81)]),
        ConnectionFilter(targets: [Target(ip("10.96.0.11"), .tcp, port: 80)]),
        ConnectionFilter(targets: [Target(ip("10.96.0.10"), nil, port: nil)]),
        ConnectionFilter(targets: [Target(ip("10.96.0.10"), nil, port: 80)]),
        ConnectionFilter(targets: [Target(ip("10.96.0.10"), nil, port: 81)]),
        ConnectionFilter(targets: [Target(ip("fd00::a"), .udp, port: nil)]),
        ConnectionFilter(targets: [Target(ip("fd00::a"), .tcp, port: nil)]),
        ConnectionFilter(targets: [Target(ip("fd00::b"), .udp, port: nil)]),
        ConnectionFilter(targets: [Target(ip("127.0.0.1"), .tcp, port: 81)]),
    ]

    @Test func `recorded messages pass if they are wanted`() throws {
        for (name, bytes) in try Fixture.trackingMessages() {
            for filter in filters {
                #expect(passes(bytes, filter) == isWanted(bytes, filter), "\(name) \(filter)")
            }
        }
        // Neither is always so.
        let new = try #require(try Fixture.trackingMessages()["new tcp"])
        #expect(filters.count { passes(new, $0) == true } == 6)
    }

    @Test func `of a message that is cut off nothing is left out that could be read`() throws {
        for (name, bytes) in try Fixture.trackingMessages() {
            for count in bytes.indices.dropFirst(16) {
                var cut = Array(bytes.prefix(count))
                withUnsafeBytes(of: UInt32(count)) { cut.replaceSubrange(0..<4, with: $0) }
                for filter in filters {
                    let answer = try #require(passes(cut, filter) as Bool?)
                    #expect(answer || !isWanted(cut, filter), "\(name)")
                }
            }
        }
    }

    @Test(arguments: 0..<60 as Range<UInt64>)
    func `messages of any kind pass if they are wanted`(seed: UInt64) {
        var random = Seeded(seed)
        let filter = randomFilter(&random)
        var wanted = 0
        for _ in 0..<200 {
            let bytes = message(&random)
            let isWanted = isWanted(bytes, filter)
            wanted += isWanted ? 1 : 0
            #expect(passes(bytes, filter) == isWanted, "\(filter) \(bytes)")
        }
        #expect(wanted < 200)
    }

    @Test func `a filter never grows beyond what kernels take, and then lets more through`() {
        let targets = (0..<3000).map {
            Target(IPAddress(ipv4: 0x0A60_0000 + UInt32($0) * 7), .tcp, port: 80)
        }
        for count in [1, 100, 3000] {
            let filter = ConnectionFilter(
                targets: Array(targets.prefix(count)),
                client: prefix("10.0.0.0/8")
            )
            #expect(filter.program.instructions.count <= SocketFilter.largestSize)
            var random = Seeded(UInt64(count))
            for _ in 0..<100 {
                let bytes = message(&random)
                if isWanted(bytes, filter) { #expect(passes(bytes, filter) == true) }
            }
        }
    }

    // MARK: Random ones

    private func address(_ family: IPFamily, _ random: inout Seeded) -> IPAddress {
        let last = UInt64.random(in: 0...9, using: &random)
        guard family == .ipv6 else { return IPAddress(ipv4: 0x0A60_0000 + UInt32(last)) }
        // Words that differ in one place only.
        let shift = UInt64.random(in: 0...1, using: &random) * 32
        return IPAddress(ipv6High: 0xFD00_0000_0000_0000 | last << shift, low: last << shift)
    }

    private func randomFilter(_ random: inout Seeded) -> ConnectionFilter {
        let targets = (0..<Int.random(in: 0...40, using: &random)).map { _ in
            Target(
                address(Bool.random(using: &random) ? .ipv4 : .ipv6, &random),
                [nil, .tcp, .udp, .sctp].randomElement(using: &random) ?? nil,
                port: Bool.random(using: &random) ? .random(in: 80...86, using: &random) : nil
            )
        }
        let family: IPFamily = Bool.random(using: &random) ? .ipv4 : .ipv6
        let length = Int.random(in: 0...family.bitWidth, using: &random)
        let client = IPPrefix(address(family, &random), length: length)
        return ConnectionFilter(
            targets: Int.random(in: 0...3, using: &random) == 0 ? nil : targets,
            client: Int.random(in: 0...2, using: &random) == 0 ? client : nil
        )
    }

    /// A message as ctnetlink writes it.
    private func message(_ random: inout Seeded) -> [UInt8] {
        let family: IPFamily = Bool.random(using: &random) ? .ipv4 : .ipv6
        let transport = [6, 6, 17, 132, 1].randomElement(using: &random) ?? 6 as UInt8
        let isDestroyed = Bool.random(using: &random)
        var buffer = MessageBuffer(capacity: 256)
        // NFNL_SUBSYS_CTNETLINK 1, IPCTNL_MSG_CT_NEW 0, _DELETE 2; NLM_F_EXCL | NLM_F_CREATE.
        buffer.beginMessage(
            type: isDestroyed ? 0x0102 : 0x0100,
            flags: Bool.random(using: &random) ? 0x600 : 0,
            sequence: 0
        )
        buffer.appendNetfilterHeader(family: family == .ipv4 ? 2 : 10)
        let client = address(family, &random)
        let frontend = address(family, &random)
        let port = UInt16.random(in: 80...86, using: &random)
        let isTranslated = Bool.random(using: &random)
        let endpoint = isTranslated ? address(family, &random) : frontend
        let endpointPort = isTranslated ? UInt16.random(in: 80...86, using: &random) : port
        // CTA_TUPLE_ORIG 1, CTA_TUPLE_REPLY 2, CTA_STATUS 3, CTA_PROTOINFO 4.
        append(&buffer, 1, transport, (client, 1000), (frontend, port))
        append(&buffer, 2, transport, (endpoint, endpointPort), (client, 1000))
        buffer.attribute(3, bigEndian: Bool.random(using: &random) ? 0x18E : 0x188)
        if transport == 6, Bool.random(using: &random) {
            let info = buffer.beginNest(4)
            let tcp = buffer.beginNest(1)
            buffer.attribute(1, UInt8.random(in: 0...10, using: &random))
            buffer.endNest(tcp)
            buffer.endNest(info)
        }
        buffer.endMessage()
        return Array(buffer.bytes)
    }

    private func append(
        _ buffer: inout MessageBuffer,
        _ type: UInt16,
        _ transport: UInt8,
        _ source: (IPAddress, UInt16),
        _ destination: (IPAddress, UInt16)
    ) {
        let isV4 = source.0.family == .ipv4
        let tuple = buffer.beginNest(type)
        let addresses = buffer.beginNest(1)
        buffer.attribute(isV4 ? 1 : 3, source.0)
        buffer.attribute(isV4 ? 2 : 4, destination.0)
        buffer.endNest(addresses)
        let ports = buffer.beginNest(2)
        buffer.attribute(1, transport)
        // ICMP has no ports, but an identifier, a type and a code.
        let first: UInt16 = transport == 1 ? 4 : 2
        buffer.attribute(first, source.1.bigEndian)
        buffer.attribute(first + 1, destination.1.bigEndian)
        buffer.endNest(ports)
        buffer.endNest(tuple)
    }
}
