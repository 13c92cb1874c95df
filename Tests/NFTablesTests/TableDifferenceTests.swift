import Backend
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

@Suite struct TableDifferenceTests {
    private let frontend = FrontendKey(ip("10.96.0.1"), .tcp, 80)

    private func differences(
        of family: IPFamily = .ipv4,
        _ change: (inout Changeset) -> Void
    ) -> [Difference] {
        var changes = Changeset()
        change(&changes)
        return TableTransaction(program: Program(family), changes: changes).differences
    }

    private func texts(_ differences: [Difference]) -> [String] {
        differences.map(\.description)
    }

    /// An element of each set, with its text in nft's syntax, and whom its absence concerns.
    private var elements: [(SetID, Element, String, Difference.Subject)] {
        let key = ElementBytes(frontend)
        let client = ip("10.244.1.2")
        var slot = key
        slot.append(hostOrder: 7)
        var seconds = ElementBytes()
        seconds.append(hostOrder: 60)
        var block = key
        block.append(ip("10.0.0.0"))
        var pair = ElementBytes(client)
        pair.append(client)
        var connection = ElementBytes(client, port: 5000)
        connection.append(frontend.address)
        connection.append(port: 80)
        let endpoint = ElementBytes(FrontendKey(client, .udp, 53))
        let range = Element(
            key: ElementBytes(ip("10.96.0.0")),
            keyEnd: ElementBytes(ip("10.111.255.255"))
        )
        let target = ElementBytes(client, port: 8080)
        let (own, name) = (Difference.Subject.frontend(frontend), "10.96.0.1 . tcp . 80")
        return [
            (.frontends, Element(key: key, comment: "a/b"), #"\#(name) comment "a/b""#, own),
            (
                .endpoints, Element(key: slot, data: target), "\(name) . 0x7 : 10.244.1.2 . 8080",
                own
            ),
            (
                .localEndpoints, Element(key: slot, data: target),
                "\(name) . 0x7 : 10.244.1.2 . 8080", own
            ),
            (.localPolicy, Element(key: key), name, own), (.sticky, Element(key: key), name, own),
            (.stickyTimeouts, Element(key: key, data: seconds), "\(name) : goto remember-60", own),
            (
                .affinity, Element(key: ClientBucket.key(16, frontend), data: target),
                "0x10 . \(name) : 10.244.1.2 . 8080", own
            ),
            (.masqueradeFrontends, Element(key: key), name, own),
            (
                .clusterIPs, Element(key: ElementBytes(frontend.address)), "10.96.0.1",
                .address(frontend.address)
            ),
            (.externalFrontends, Element(key: key), name, own),
            (.draining, Element(key: block), "\(name) . 10.0.0.0", .everyone),
            (.inherited, Element(key: connection), "10.244.1.2 . 5000 . 10.96.0.1 . 80", .everyone),
            (.noEndpoints, Element(key: key), name, own),
            (.noLocalEndpoints, Element(key: key), name, own),
            (.restricted, Element(key: key), name, own),
            (.allowedSources(length: 8), Element(key: block), "\(name) . 10.0.0.0", own),
            (.hairpin, Element(key: pair), "10.244.1.2 . 10.244.1.2", .endpoint(client)),
            (.serviceEndpoints, Element(key: endpoint), "10.244.1.2 . udp . 53", .endpoint(client)),
            (.formerEndpoints, Element(key: endpoint), "10.244.1.2 . udp . 53", .endpoint(client)),
            (.podCIDRs, range, "10.96.0.0/12", .everyone),
            (.serviceCIDRs, range, "10.96.0.0/12", .everyone),
        ]
    }

    @Test func `an element is written as nft writes it, and concerns who uses it`() {
        for (set, element, text, subject) in elements {
            let added = differences { $0.added = [set: [element]] }
            #expect(texts(added) == ["+ ip needletail \(set.name): \(text)"])
            #expect(added.map(\.subject) == [subject], "\(set.name)")
            let removed = differences { $0.removed = [set: [element]] }
            #expect(texts(removed) == ["- ip needletail \(set.name): \(text)"])
            #expect(removed.map(\.subject) == [subject], "\(set.name)")
        }
    }

    @Test func `every set that there may be is told of`() {
        var (policy, inheriting) = (Program.Variant(), Program.Variant())
        policy.role = .policy
        inheriting.inherits = true
        let all = Set(
            [Program.Variant(), policy, inheriting].flatMap(SetID.constant)
        ).union([.allowedSources(length: 8)])
        #expect(Set(elements.map(\.0)) == all)
    }

    @Test func `an element that cannot be read concerns everyone`() {
        for set in [SetID.frontends, .hairpin, .clusterIPs, .affinity] {
            let short = Element(key: ElementBytes())
            let found = differences { $0.added = [set: [short]] }
            #expect(found.map(\.subject) == [.everyone])
            #expect(texts(found).allSatisfy { $0.contains("?") })
        }
    }

    @Test func `elements are told by set and then by key, what goes before what comes`() {
        let element = { (text: String) in Element(key: ElementBytes(ip(text))) }
        let found = differences {
            $0.added = [.clusterIPs: [element("10.0.0.2"), element("10.0.0.1")]]
            $0.removed = [
                .clusterIPs: [element("10.0.0.9")],
                .serviceCIDRs: [element("10.0.0.8")],
            ]
        }
        #expect(
            texts(found) == [
                "- ip needletail cluster-ips: 10.0.0.9", "- ip needletail service-cidrs: 10.0.0.8",
                "+ ip needletail cluster-ips: 10.0.0.1", "+ ip needletail cluster-ips: 10.0.0.2",
            ]
        )
    }

    @Test func `tables, sets and chains concern everyone`() {
        let remember = Chain(.rememberFor(seconds: 60), [Rule(.remember(timeout: 60))])
        let found = differences(of: .ipv6) {
            $0.createsTable = true
            $0.addedSets = [.allowedSources(length: 64)]
            $0.removedSets = [.allowedSources(length: 48)]
            $0.chains = [
                .rememberFor(seconds: 60): .create(remember),
                .rememberFor(seconds: 30): .delete,
                .sourceRanges: .replace([Rule(.drop), Rule(.drop)]),
                .pick: .append([Rule(.counter, .drop)]),
            ]
        }
        #expect(found.map(\.subject).allSatisfy { $0 == .everyone })
        #expect(
            texts(found) == [
                "+ table ip6 needletail", "+ ip6 needletail set allowed-sources-64",
                "- ip6 needletail set allowed-sources-48",
                "+ ip6 needletail chain pick: counter drop",
                "- ip6 needletail chain remember-30", "+ ip6 needletail chain remember-60",
                "~ ip6 needletail chain source-ranges: 2 rules",
            ]
        )
    }

    @Test func `names of sets and chains are read back, and others are not`() {
        #expect(SetID.sourceLength("allowed-sources-24") == 24)
        #expect(Chain.Name.affinityTimeout("remember-10800") == 10_800)
        for name in [
            "allowed-sources-", "allowed-sources-024", "allowed-sources--1", "allowed-sources-x",
            "sources-24", "allowed-sources-4294967296", "",
        ] { #expect(SetID.sourceLength(name) == nil) }
        for name in ["remember", "remember-", "remember-060", "remember-+60", "xremember-60"] {
            #expect(Chain.Name.affinityTimeout(name) == nil)
        }
    }
}

@Suite struct RulePrinterTests {
    private func text(_ statements: Statement..., family: IPFamily = .ipv4) -> [String] {
        statements.map { RulesetPrinter(family).text(Rule($0)) }
    }

    // nft(8): the statements of the program in its syntax.
    @Test func `a statement is written as nft reads it`() {
        #expect(
            text(
                .state(.new),
                .state(.invalid),
                .isDNATed,
                .sourceIsLocal(true),
                .sourceIsLocal(false),
                .transport(.tcp),
                .transport(.udp, isEqual: false),
                .masquerade,
                .counter,
                .reject(withReset: true),
                .reject(withReset: false),
                .drop,
                .returning,
                .jump(.pick),
                .goto(.rememberFor(seconds: 60))
            ) == [
                "ct state new", "ct state invalid", "ct status dnat", "fib saddr type local",
                "fib saddr type != local", "meta l4proto tcp", "meta l4proto != udp",
                "masquerade fully-random", "counter", "reject with tcp reset", "reject", "drop",
                "return", "jump pick", "goto remember-60",
            ]
        )
    }

    @Test func `an interface's name cannot end its quotation`() {
        #expect(
            text(
                .inputInterfaceIsNot(name: "cni0", isPrefix: false),
                .inputInterfaceIsNot(name: "ve\"th\n", isPrefix: true),
                .outputInterfaceIsNot(name: "ve\"th\n", isPrefix: true)
            ) == ["iifname != \"cni0\"", "iifname != \"ve'th\\n*\"", "oifname != \"ve'th\\n*\""]
        )
    }

    @Test func `lookups name their fields in the family's words`() {
        #expect(
            text(.lookup([.sourceAddress], in: .podCIDRs))
                == ["ip saddr @pod-cidrs"]
        )
        #expect(
            text(.lookup([.destinationAddress], in: .clusterIPs, negated: true), family: .ipv6)
                == ["ip6 daddr != @cluster-ips"]
        )
    }

    @Test func `the bit that steers packets to this node is set and cleared alone`() {
        #expect(
            text(.steer(true), .steer(false)) == [
                "meta mark set meta mark | 0x1000", "meta mark set meta mark & 0xffffefff",
            ]
        )
    }

    // A set takes ranges that are no blocks, though none of ours is one.
    @Test func `a range is written as a block if it is one`() {
        let set = SetDefinition(.serviceCIDRs)
        let text = { (first: String, last: String) in
            RulesetPrinter(.ipv4).text(
                Element(key: ElementBytes(ip(first)), keyEnd: ElementBytes(ip(last))),
                of: set
            )
        }
        #expect(text("10.0.0.0", "10.0.0.255") == "10.0.0.0/24")
        #expect(text("10.0.0.7", "10.0.0.7") == "10.0.0.7")
        #expect(text("10.0.0.1", "10.0.0.2") == "10.0.0.1-10.0.0.2")
        #expect(text("0.0.0.0", "255.255.255.255") == "0.0.0.0/0")
    }
}
