@testable import IPVS
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// Tests with servers that no longer belong to a Service, and with refusals of the kernel.
@Suite struct LeavingServerTests {
    private let node = ip("192.0.2.1")
    private var key: FrontendKey { FrontendKey(node, .tcp, 80) }
    private var own: Destination.ID { Destination.ID(node, 80) }

    private func nodePort(_ hosts: [Int], affinity: UInt32? = nil) -> ServicePlan {
        plan(hosts, address: node, kind: .nodePort, affinity: affinity)
    }

    @Test func `new connections to an address that is given up go where they were sent`() {
        var (table, kernel) = start(nodePort([1, 2], affinity: 60))
        kernel.perform(table.apply([("shop/web", nil)], now: 10))
        #expect(kernel.servers[key] == [id(1): 0, id(2): 0, own: 1])
        #expect(kernel.attributes[key] == VirtualServer(key: key, scheduler: "rr"))
        // A restart finds the same state.
        let (adopted, operations) = ServerTable.adopting(
            kernel.dump,
            plans: [],
            BalancingDefaults(),
            drainTimeout: 900,
            now: 0
        )
        #expect(operations.isEmpty && adopted.isLeaving(key))
        kernel.perform(
            table.finishDraining(key, connections: [id(1): .init(active: 0)], now: 20)
        )
        #expect(kernel.servers.isEmpty && table.isEmpty)
    }

    @Test func `who takes such an address again cuts nobody off`() {
        var (table, kernel) = start(nodePort([1]))
        kernel.perform(table.apply([("shop/web", nil)], now: 10))
        kernel.perform(table.apply([("shop/web", nodePort([2]))], now: 20))
        #expect(kernel.servers[key] == [id(1): 0, id(2): 1, own: 0])
        kernel.perform(table.apply([("shop/web", nil)], now: 30))
        #expect(kernel.servers[key] == [id(1): 0, id(2): 0, own: 1])
        kernel.perform(table.finishDraining(key, connections: kernel.ended(key), now: 40))
        #expect(kernel.servers.isEmpty && table.isEmpty)
    }

    @Test func `a cluster IP is nobody else's`() {
        var (table, kernel) = start(plan([1]))
        kernel.perform(table.apply([("shop/web", nil)], now: 10))
        #expect(kernel.servers[FrontendKey(vip, .tcp, 80)] == [id(1): 0])
    }

    @Test func `thousands of leaving servers cost what they are`() {
        let count = 5000
        var table = ServerTable(BalancingDefaults(), drainTimeout: 900)
        let plans = (0..<count).map { number in
            plan(
                [1],
                service: "shop/s\(number)",
                address: IPAddress(ipv4: 0x0A60_0000 + UInt32(number))
            )
        }
        _ = table.apply(plans.map { ($0.service, $0) }, now: 0)
        _ = table.apply(plans.map { ($0.service, nil) }, now: 10)
        let addresses = table.addresses
        #expect(addresses.count == count && table.drainingServers.count == count)
        let start = ContinuousClock.now
        #expect(addresses.allSatisfy(table.needs))
        // This takes milliseconds; asking each server for each address would take many seconds.
        #expect(.now - start < .seconds(2))
        for key in table.drainingServers {
            _ = table.finishDraining(key, connections: [:], now: 20)
        }
        #expect(table.isEmpty && table.addresses.isEmpty)
    }
}

/// Tests of effects that no tenant's object may have.
@Suite struct RefusalTests {
    private let key = FrontendKey(vip, .tcp, 80)

    @Test func `what the kernel refuses of a Service is left out, and the rest is not`() {
        var web = plan([1, 2])
        web.scheduler = "twos"
        var defaults = BalancingDefaults(scheduler: "wlc")
        #expect(web.virtualServers(defaults).map(\.scheduler) == ["twos"])
        defaults.refusals.schedulers = ["twos"]
        defaults.refusals.destinations = [ip("10.244.1.2")]
        let server = web.virtualServers(defaults)
        #expect(server.map(\.scheduler) == ["wlc"])
        #expect(server.flatMap(\.destinations).map(\.id) == [id(1)])
        defaults.refusals.servers = [key]
        #expect(web.virtualServers(defaults).isEmpty)
        var table = ServerTable(defaults, drainTimeout: 900)
        #expect(table.apply([("shop/web", web)], now: 0).isEmpty)
        #expect(table.apply([("shop/web", nil)], now: 10).isEmpty && table.isEmpty)
    }

    @Test(arguments: ["0.1.2.3", "225.1.2.3", "255.255.255.255", "ff02::1"])
    func `an address that is never a destination is none`(address: String) {
        let isIPv6 = address.contains(":")
        let frontend = Frontend(
            key: FrontendKey(isIPv6 ? ip("fd96::1") : vip, .tcp, 80),
            kind: .clusterIP,
            portName: "",
            action: .balance(pool: 0),
            masquerade: .nonPods
        )
        let good = Endpoint(isIPv6 ? ip("fd00::1") : ip("240.0.0.1"), 80, isLocal: false)
        let pool = Pool([good, Endpoint(ip(address), 80, isLocal: false)])
        let web = ServicePlan(service: "shop/web", frontends: [frontend], pools: [pool])
        #expect(
            web.virtualServers(BalancingDefaults()).flatMap(\.destinations)
                == [Destination(good.address, 80)]
        )
    }

    @Test func `an endpoint that is there twice is one destination`() {
        let web = plan([1], draining: [1, 2])
        var (table, kernel) = start(web)
        #expect(kernel.servers[key] == [id(1): 1, id(2): 0])
        // The kernel's list is not a snapshot, either.
        var doubled = kernel.dump
        doubled[0].destinations.append(doubled[0].destinations[0])
        let (_, operations) = ServerTable.adopting(
            doubled,
            plans: [plan([2])],
            BalancingDefaults(),
            drainTimeout: 900,
            now: 0
        )
        kernel.perform(operations)
        #expect(kernel.servers[key] == [id(1): 0, id(2): 1])
        #expect(table.apply([("shop/web", web)], now: 10).isEmpty)
    }

    @Test func `Maglev's table is made once, not for each destination`() {
        var web = plan([1, 2])
        web.scheduler = "mh"
        var defaults = BalancingDefaults(scheduler: "wlc")
        let operations = web.virtualServers(defaults).flatMap { $0.creation(defaults) }
        #expect(
            operations.map(\.description) == [
                "adding virtual server 10.96.0.1:80/tcp (rr)",
                "adding destination 10.244.1.1:8080 to virtual server 10.96.0.1:80/tcp",
                "adding destination 10.244.1.2:8080 to virtual server 10.96.0.1:80/tcp",
                "changing virtual server 10.96.0.1:80/tcp (mh)",
            ]
        )
        var kernel = FakeIPVS()
        kernel.perform(operations)
        #expect(kernel.dump == web.virtualServers(defaults))
        defaults.refusals.schedulers = ["rr"]
        #expect(
            web.virtualServers(defaults).flatMap { $0.creation(defaults) }.first?.description
                == "adding virtual server 10.96.0.1:80/tcp (wlc)"
        )
    }

    @Test func `a change of one of many ports touches that one alone`() {
        let endpoints = (0..<1000).map {
            Endpoint(IPAddress(ipv4: 0x0AF4_0000 + UInt32($0)), 8080, isLocal: false)
        }
        func web(_ last: [Endpoint]) -> ServicePlan {
            ServicePlan(
                service: "shop/web",
                frontends: (0..<50).map { port in
                    Frontend(
                        key: FrontendKey(vip, .tcp, 1000 + UInt16(port)),
                        kind: .clusterIP,
                        portName: "p\(port)",
                        action: .balance(pool: port == 49 ? 1 : 0),
                        masquerade: .nonPods
                    )
                },
                pools: [Pool(endpoints), Pool(last)]
            )
        }
        var (table, kernel) = start(web(Array(endpoints.dropLast())))
        let operations = table.apply([("shop/web", web(endpoints))], now: 10)
        #expect(
            operations == [
                .addDestination(
                    Destination(endpoints[999].address, 8080),
                    to: FrontendKey(vip, .tcp, 1049)
                )
            ]
        )
        kernel.perform(operations)
        #expect(kernel.servers.values.allSatisfy { $0.count == 1000 })
    }

    // A rule in nftables has 32,768 slots, but a virtual server has no such limit.
    @Test func `every one of very many endpoints is a destination`() {
        var web = plan([1])
        web.pools[0].endpoints = (0..<70_000).map {
            Endpoint(IPAddress(ipv4: 0x0AF4_0000 + $0), 8080, isLocal: false)
        }
        #expect(web.virtualServers(BalancingDefaults())[0].destinations.count == 70_000)
    }
}
