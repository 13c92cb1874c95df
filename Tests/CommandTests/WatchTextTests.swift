import KubernetesModel
import Netlink
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

@testable import needletail

/// Tests of what `watch` makes of recorded events.
@Suite struct WatchTextTests {
    private let frontend = FrontendKey(ip("10.96.0.10"), .tcp, 80)

    private func event(_ name: String) throws -> ConnectionEvent {
        let bytes = try #require(try Fixture.trackingMessages()[name])
        let event = bytes.withUnsafeBytes { bytes in
            var messages = NetlinkMessages(bytes)
            return messages.next().flatMap(ConnectionEvent.init)
        }
        return try #require(event)
    }

    private func names(service: String = "shop/web", port: String = "http") -> ConnectionNames {
        let plan = ServicePlan(
            service: service,
            frontends: [
                Frontend(
                    key: frontend,
                    kind: .clusterIP,
                    portName: port,
                    action: .balance(pool: 0),
                    masquerade: .nonPods
                )
            ],
            pools: [Pool([])]
        )
        var node = ClusterBuilder().node
        node.zone = "a"
        var slice = EndpointSlice(
            name: ObjectName("shop/web-1"),
            service: ObjectName(service),
            family: .ipv4
        )
        slice.endpoints = [
            SliceEndpoint(address: ip("10.244.1.2"), place: EndpointPlace(nodeName: node.name)),
            SliceEndpoint(
                address: ip("10.244.2.2"),
                place: EndpointPlace(nodeName: "there", zone: "b")
            ),
            SliceEndpoint(address: ip("10.244.3.2"), place: EndpointPlace(nodeName: "elsewhere")),
        ]
        return ConnectionNames([plan], on: node) { $0 == service ? [slice] : [] }
    }

    private func report(
        _ name: String,
        _ finding: ConnectionHistory.Finding = .init(),
        names: ConnectionNames? = nil
    ) throws -> ConnectionReport {
        ConnectionReport(
            try event(name),
            finding,
            names ?? self.names(),
            at: "2026-11-26T15:43:14.123456Z"
        )
    }

    @Test func `a line has a column for each fact, and wide words widen it`() throws {
        let node = ClusterBuilder().node.name
        var columns = ConnectionColumns(hasTraffic: true)
        #expect(
            columns.header()
                == "TIME          EVENT      CLIENT              FRONTEND            SERVICE         "
                + "ENDPOINT            NODE      LASTED    SENT        RECEIVED"
        )
        let end = try report("destroyed tcp", .init(lasted: .milliseconds(12_345)))
        #expect(
            columns.line(end)
                == "15:43:14.123  destroyed  127.0.0.1:40312     10.96.0.10:80/tcp   shop/web:http   "
                + "10.244.1.2:8080     \(node) (a)  12.345s   6p 325B     4p 224B"
        )
        let long = String(repeating: "x", count: 30)
        let wide = columns.line(try report("new tcp", names: names(service: "shop/\(long)")))
        let next = columns.line(end)
        let place = { (line: String) in
            line.firstRange(of: "10.244").map {
                line.distance(from: line.startIndex, to: $0.lowerBound)
            }
        }
        #expect(place(wide) == 107 && place(next) == 107)
        var plain = ConnectionColumns(hasTraffic: false)
        #expect(plain.header().hasSuffix("LASTED"))
        #expect(plain.line(end).hasSuffix("12.345s"))
    }

    @Test func `what has no name is shown by its address, and what failed is remarked`() throws {
        var columns = ConnectionColumns(hasTraffic: false)
        let line = columns.line(try report("destroyed refused"))
        let words = line.split(separator: " ").map(String.init)
        #expect(
            words == [
                "15:43:14.123", "destroyed", "127.0.0.1:40313", "127.0.0.1:81/tcp", "-", "-", "-",
                "-", "never", "established",
            ]
        )
        // Names come from the API server, and may be anything in manifests.
        let escape = columns.line(try report("new tcp", names: names(port: "\u{1B}[2J")))
        #expect(!escape.contains("\u{1B}") && escape.contains("\\u{1B}[2J"))
    }

    @Test func `an endpoint's zone is that of its slice, or this node's`() {
        let node = ClusterBuilder().node.name
        let places = ["10.244.1.2", "10.244.2.2", "10.244.3.2", "10.244.4.2"]
            .map { names().place(of: ip($0)) }
        #expect(
            places == [
                .init(node: node, zone: "a"), .init(node: "there", zone: "b"),
                .init(node: "elsewhere", zone: nil), nil,
            ]
        )
    }

    @Test func `a Service's port is found by name and by number`() throws {
        let names = names()
        let target = ConnectionFilter(targets: [.init(frontend)])
        for text in ["shop/web", "shop/web:http", "shop/web:80"] {
            #expect(try names.filter(WatchTarget(text), from: nil) == target)
        }
        #expect(throws: Failure.self) { try names.filter(WatchTarget("shop/web:81"), from: nil) }
        #expect(throws: Failure.self) { try names.filter(WatchTarget("shop/x"), from: nil) }
        #expect(
            try names.filter(WatchTarget("10.96.0.10:80"), from: IPPrefix(client: "10.0.0.1"))
                == ConnectionFilter(
                    targets: [.init(ip("10.96.0.10"), nil, port: 80)],
                    client: prefix("10.0.0.1/32")
                )
        )
        for text in ["", "shop", "a/b/c", "/web", "shop/", "shop/web:", "shop/web:a:b"] {
            #expect(throws: Failure.self, "\(text)") { try WatchTarget(text) }
        }
    }

    @Test func `a connection lasts from its first packet to its close`() throws {
        let start = ContinuousClock.now
        var history = ConnectionHistory()
        #expect(history.add(try event("new tcp"), at: start) == .init())
        let assured = try event("established")
        #expect(history.add(assured, at: start + .seconds(1)) == .init())
        #expect(history.add(assured, at: start + .seconds(2)) == .init(isRepeated: true))
        let closed = try event("time-wait")
        #expect(
            history.add(closed, at: start + .seconds(3)) == .init(lasted: .seconds(3))
        )
        #expect(
            history.add(closed, at: start + .seconds(4))
                == .init(isRepeated: true, lasted: .seconds(3))
        )
        let end = try event("destroyed tcp")
        #expect(
            history.add(end, at: start + .seconds(120))
                == .init(wasOpen: true, lasted: .seconds(3))
        )
        #expect(history.count == 0)
        // The kernel knows how long one lasted whose beginning was not seen.
        #expect(
            history.add(end, at: start)
                == .init(lasted: .nanoseconds(0x18EB_A34B_C464_6A4D - 0x18EB_A34B_B011_F139))
        )
    }

    @Test func `what is remembered has a limit`() throws {
        var history = ConnectionHistory(limit: 1)
        let start = ContinuousClock.now
        _ = history.add(try event("new tcp"), at: start)
        _ = history.add(try event("new udp ipv6"), at: start)
        #expect(history.count == 1)
        #expect(
            !history.add(try event("destroyed tcp"), at: start + .seconds(9)).wasOpen
        )
    }

    @Test func `the table has the busiest first, and counts what is lost`() throws {
        var top = TopTalkers(hasTraffic: true)
        for _ in 0..<3 { top.add(try event("new tcp"), service: "shop/web", wasOpen: false) }
        top.add(try event("new udp ipv6"), service: "kube-system/dns", wasOpen: false)
        top.add(try event("destroyed tcp"), service: "shop/web", wasOpen: true)
        top.add(.events(7))
        #expect(
            top.table(at: "15:43:14", interval: 2) == [
                "15:43:14  2 new/s, 4 new, 3 open, 7 events lost",
                "SERVICE          CLIENT        NEW/S       NEW      OPEN     BYTES",
                "shop/web         127.0.0.1         2         3         2      549B",
                "kube-system/dns  ::1               1         1         1        0B",
            ]
        )
        top.add(.some)
        top.add(try event("new udp ipv6"), service: "kube-system/dns", wasOpen: false)
        let next = top.table(at: "15:43:15", interval: 1)
        #expect(next[0] == "15:43:15  1 new/s, 5 new, 4 open, 7 events lost, and others")
        #expect(next[2].hasPrefix("kube-system/dns") && next[3].hasPrefix("shop/web"))
    }

    @Test func `clients beyond the limit are counted together`() throws {
        var top = TopTalkers(limit: 1, hasTraffic: false)
        top.add(try event("new tcp"), service: "shop/web", wasOpen: false)
        top.add(try event("new udp ipv6"), service: "shop/web", wasOpen: false)
        let lines = top.table(at: "15:43:14", interval: 1)
        #expect(lines.contains { $0.hasPrefix("shop/web  others") })
    }

    @Test(
        arguments: [
            (0, "0B"), (999, "999B"), (1000, "1.0kB"), (1999, "1.9kB"), (99_999, "99kB"),
            (1_234_567, "1.2MB"), (.max, "18EB"),
        ] as [(UInt64, String)]
    )
    func `bytes are short`(count: UInt64, text: String) {
        #expect(ConnectionColumns.bytes(count) == text)
    }

    @Test(
        arguments: [
            (0, "0.000s"), (1.0004, "1.000s"), (59.9, "59.900s"), (60, "1m00s"), (3599, "59m59s"),
            (7380, "2h03m"),
        ] as [(Double, String)]
    )
    func `times are short`(seconds: Double, text: String) {
        #expect(ConnectionColumns.text(seconds) == text)
    }
}
