import Glibc
import NFTables
import NFTablesKernel
import NetworkNamespaces
import NetworkTypes
import Netlink
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(30))) struct NetlinkTests {
    @Test func `addresses are read and followed`() async throws {
        let namespace = try NetworkNamespace()
        try namespace.ip(["link set lo up"])
        let subscription = try namespace.inside {
            try NetlinkSubscription(.route, groups: InterfaceAddresses.groups)
        }
        let changes = subscription.changes {
            InterfaceAddresses.isChange($0, except: "") ? () : nil
        }
        #expect(
            try namespace.inside { try InterfaceAddresses.read() } == [ip("127.0.0.1"), ip("::1")]
        )
        try namespace.ip(["addr add 192.0.2.7/32 dev lo", "addr add 2001:db8::7/128 dev lo"])
        for await _ in changes {
            let addresses = try namespace.inside { try InterfaceAddresses.read() }
            if addresses.contains(ip("192.0.2.7")), addresses.contains(ip("2001:db8::7")) { break }
        }
    }

    @Test func `bridges are told by their addresses and names`() throws {
        let namespace = try NetworkNamespace()
        try namespace.ip([
            "link add cni0 type bridge", "addr add 10.244.1.1/24 dev cni0",
            "addr add fd00:1::1/64 dev cni0 nodad", "link add br0 type bridge",
            "addr add 192.0.2.1/24 dev br0", "link add veth0 type veth peer name veth1",
            "addr add 10.244.2.1/24 dev veth0",
        ])
        func names(_ blocks: [String], _ names: [String] = []) throws -> [String] {
            try namespace.inside { try Interfaces() }.bridges(in: blocks.map(prefix), or: names)
        }
        #expect(try names(["10.244.0.0/16"]) == ["cni0"])
        #expect(try names(["fd00:1::/48"], ["br0", "veth0", "eth7"]) == ["br0", "cni0"])
        #expect(try names(["10.245.0.0/16", "fd00:2::/48"]) == [])
    }

    @Test func `the state of connection tracking is conntrack's`() throws {
        let namespace = try NetworkNamespace()
        try namespace.ip(["link set lo up"])
        try namespace.run(
            ["nft", "-f", "-"],
            input: """
                table ip clash { chain c {
                    type nat hook postrouting priority 100;
                    tcp dport 7 snat to 127.0.0.1:1000
                }; }

                """
        )
        // Replies to the second connection would look the same as those to the first.
        let connecting = """
            import socket
            server = socket.create_server(("127.0.0.1", 7))
            first = socket.create_connection(("127.0.0.1", 7))
            second = socket.socket()
            second.settimeout(0.1)
            print(second.connect_ex(("127.0.0.1", 7)))
            """
        try namespace.run(["python3", "-c", connecting])
        let statistics = try namespace.inside { try TrackingStatistics.read() }
        let limit = try namespace.run(["cat", "/proc/sys/net/netfilter/nf_conntrack_max"])
        #expect(statistics.entries == 1)
        #expect(try namespace.run(["conntrack", "-C"]).filter(\.isNumber) == "1")
        #expect("\(statistics.limit)" == limit.filter(\.isNumber))
        let counters = try namespace.run(["conntrack", "-S"])
        func sum(_ name: String) -> UInt64 {
            counters.split(whereSeparator: \.isWhitespace)
                .filter { $0.hasPrefix("\(name)=") }
                .reduce(0) { $0 + (UInt64($1.dropFirst(name.count + 1)) ?? 0) }
        }
        #expect(statistics.insertFailed > 0 && statistics.insertFailed == sum("insert_failed"))
        #expect(statistics.dropped == sum("drop"))
        #expect(statistics.earlyDropped == sum("early_drop"))
    }

    /// Commits a batch with one message about a table called nothing.
    private func commit(
        _ operation: String,
        type: UInt16,
        flags: UInt16,
        generation: UInt32?,
        in namespace: NetworkNamespace
    ) throws {
        try namespace.inside {
            var socket = try NetlinkSocket(.netfilter)
            var batch = NetlinkBatch(
                subsystem: 10,
                generation: generation,
                firstSequence: socket.nextSequence()
            )
            batch.append({ operation }) { buffer, sequence in
                buffer.beginMessage(type: 10 << 8 | type, flags: flags, sequence: sequence)
                buffer.appendNetfilterHeader(family: 2)
                buffer.attribute(1, "nothing")
                buffer.endMessage()
            }
            try batch.commit(&socket, subsystem: 10)
        }
    }

    @Test func `an error names the operation and the kernel's reason`() throws {
        let namespace = try NetworkNamespace()
        let error = #expect(throws: NetlinkError.self) {
            // NFT_MSG_DELTABLE
            try commit(
                "deleting table ip nothing",
                type: 2,
                flags: 1,
                generation: nil,
                in: namespace
            )
        }
        #expect(error?.operation == "deleting table ip nothing")
        #expect(error?.isNotFound == true)
    }

    @Test func `a batch for another generation is refused whole`() throws {
        let namespace = try NetworkNamespace()
        let error = #expect(throws: NetlinkError.self) {
            // NFT_MSG_NEWTABLE
            try commit("adding a table", type: 0, flags: 0x401, generation: 4711, in: namespace)
        }
        #expect(error?.isStaleGeneration == true)
        #expect(try namespace.run(["nft", "list", "ruleset"]).isEmpty)
    }

    // This was found by fuzzing: negating the code overflows.
    @Test func `the most negative error code is one`() {
        var bytes = [UInt8](repeating: 0, count: 20)
        bytes[0] = 20
        bytes[4] = 2
        bytes[19] = 0x80
        bytes.withUnsafeBytes { raw in
            var messages = NetlinkMessages(raw)
            #expect(messages.next()?.errorCode == .min)
        }
    }

    @Test(arguments: 0..<200 as Range<UInt64>)
    func `garbage never makes a reader fail`(seed: UInt64) {
        var random = Seeded(seed)
        var bytes = (0..<Int.random(in: 0...120, using: &random)).map { _ in
            UInt8.random(in: 0...255, using: &random)
        }
        // A plausible length lets the reader go further.
        if bytes.count > 8 {
            bytes[0] = UInt8(bytes.count); bytes[1] = 0; bytes[2] = 0; bytes[3] = 0
        }
        bytes.withUnsafeBytes { raw in
            for message in NetlinkMessages(raw) {
                for attribute in message.netfilterAttributes {
                    _ = (
                        attribute.text, attribute.word, attribute.bigEndianShort, attribute.address
                    )
                    for nested in attribute.nested { _ = nested.byte }
                }
                _ = (message.errorCode, message.errorText)
            }
        }
    }
}
