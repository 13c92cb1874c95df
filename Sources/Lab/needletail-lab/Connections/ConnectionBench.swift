internal import FoundationEssentials
internal import Glibc
internal import NetworkTypes

/// Measures the time that a new connection takes, by the layout of the node's rules.
///
/// All cases are measured in turn, in many short rounds, so that what else happens on the machine
/// meets all of them.
struct ConnectionBench {
    /// The numbers of Services.
    var sizes = [10, 1000, 50_000]
    /// The largest number of Services for which kube-proxy's layout is loaded.
    var largestChains = 10_000
    var rounds = 60
    /// Connections of each round.
    var connections = 100
    /// Clients that a Service with ClientIP affinity remembers.
    var rememberedClients = 100_000
    var sourcePrefixes = 10_000

    struct Row: Encodable {
        let name: String
        let layout: RulesetLayout
        let services: Int
        /// Microseconds until a connection was established.
        let median, p99: Double
        /// Connections that one client opens and closes in a second, one after the other.
        let perSecond: Double
        /// Round trips in a second of one established connection.
        let exchangesPerSecond: Double
        /// The median, over all rounds, of the round's median divided by kube-proxy's in the same
        /// round; nil for what has no counterpart.
        var relativeToKubeProxy: Double?
        /// The same, divided by the median of needletail's smallest cluster.
        var relativeToSmallest: Double?
    }

    func run() async throws -> [Row] {
        let cases = try await makeCases()
        try warmUp(cases)
        for _ in 0..<rounds {
            for entry in cases { try entry.measure(connections) }
        }
        let smallest = cases.first { $0.name == Self.clusterIP && $0.layout == .needletail }
        return cases.map { entry in
            let rival = cases.last {
                $0.name == entry.name && $0.layout == .kubeProxy && $0.services <= entry.services
            }
            var row = entry.row
            if entry.layout == .needletail {
                row.relativeToKubeProxy = rival.flatMap(entry.ratio)
                if entry.name == Self.clusterIP {
                    row.relativeToSmallest = smallest.flatMap(entry.ratio)
                }
            }
            return row
        }
    }

    /// Affinity's clients connect once, so that all of them are remembered.
    private func warmUp(_ cases: [ConnectionCase]) throws {
        for entry in cases {
            var left = entry.warmUp
            while left > 0 {
                _ = try entry.scene.path.connect(min(left, 200), to: entry.target)
                left -= 200
                usleep(500)
            }
        }
    }

    // MARK: Cases

    private static let clusterIP = "cluster IP"
    private static let outsider = ConnectionServices.firstSource + 1

    private func makeCases() async throws -> [ConnectionCase] {
        let bare = try await ConnectionScene(.none, [])
        var cases = [try direct(bare)]
        for layout in [RulesetLayout.kubeProxy, .needletail] {
            for size in sizes where layout == .needletail || size <= largestChains {
                cases += try await plain(layout, size)
            }
            if layout == .kubeProxy, let largest = sizes.max(), largest > largestChains {
                cases += try await plain(layout, largestChains)
            }
            cases += try await special(layout) + manySizes(layout)
        }
        return cases
    }

    private func direct(_ scene: ConnectionScene) throws -> ConnectionCase {
        let sources = SourceAddresses(ConnectionServices.client)
        let target = ConnectionTarget(
            ConnectionServices.endpoint,
            ConnectionPath.endpointPort,
            from: sources
        )
        return try ConnectionCase("pod, no Service", scene, target)
    }

    private func toVIP(
        _ name: String,
        _ scene: ConnectionScene,
        _ address: IPAddress,
        from sources: SourceAddresses = SourceAddresses(ConnectionServices.client),
        warmUp: Int = 20
    ) throws -> ConnectionCase {
        let target = ConnectionTarget(address, 80, from: sources)
        return try ConnectionCase(name, scene, target, warmUp: warmUp)
    }

    /// Services with five endpoints each; one in the middle is measured.
    private func plain(_ layout: RulesetLayout, _ size: Int) async throws -> [ConnectionCase] {
        var services = ConnectionServices()
        services.add(size, endpoints: 5)
        let scene = try await ConnectionScene(layout, services.plans)
        let vip = ConnectionServices.vip(size / 2)
        var cases = [try toVIP(Self.clusterIP, scene, vip)]
        if size == sizes[sizes.count / 2] {
            cases.append(try direct(scene))
            let outside = SourceAddresses(Self.outsider)
            cases.append(
                try toVIP("cluster IP from outside, masqueraded", scene, vip, from: outside)
            )
        }
        return cases
    }

    /// Pools of several sizes, remembered clients and source ranges, among other Services.
    private func special(_ layout: RulesetLayout) async throws -> [ConnectionCase] {
        var services = ConnectionServices()
        services.add(min(1000, sizes[sizes.count / 2]), endpoints: 5)
        let pools = [1, 100, 1000].map { ($0, services.add(endpoints: $0)) }
        let sticky = services.add(endpoints: 5, affinityTimeout: 10_800)
        let balancer = services.addLoadBalancer(sources: sourcePrefixes)
        let scene = try await ConnectionScene(layout, services.plans)
        var cases = try pools.map { try toVIP("pool of \($0)", scene, $1) }
        cases.append(
            try toVIP(
                "ClientIP, \(rememberedClients) clients",
                scene,
                sticky,
                from: SourceAddresses(ConnectionServices.client, count: rememberedClients),
                warmUp: rememberedClients
            )
        )
        cases.append(
            try toVIP(
                "load balancer, \(sourcePrefixes) source ranges",
                scene,
                balancer,
                from: SourceAddresses(Self.outsider, step: 1024, count: sourcePrefixes)
            )
        )
        return cases
    }

    /// Services with every size of pool that has a rule of its own; the size that the fewest use is
    /// measured.
    private func manySizes(_ layout: RulesetLayout) async throws -> [ConnectionCase] {
        var services = ConnectionServices()
        let sizes = Array(1...32) + [64, 128, 256, 512, 1000, 2000, 4000]
        for (index, size) in sizes.enumerated() {
            services.add(max(1, 40 - index), endpoints: size)
        }
        let scene = try await ConnectionScene(layout, services.plans)
        return [
            try toVIP(
                "the last of 39 pool sizes",
                scene,
                ConnectionServices.vip(services.plans.count - 1)
            )
        ]
    }
}

/// One kind of connections over one node, and what they took.
final class ConnectionCase {
    let name: String
    let scene: ConnectionScene
    let target: ConnectionTarget
    /// Connections before the first that counts.
    let warmUp: Int
    var layout: RulesetLayout { scene.layout }
    var services: Int { scene.services }
    private let flow: EstablishedFlow
    private var times: [Int] = []
    private var medians: [Double] = []
    private var totals: [Double] = []
    private var exchanges: [Double] = []

    init(
        _ name: String,
        _ scene: ConnectionScene,
        _ target: ConnectionTarget,
        warmUp: Int = 20
    ) throws {
        (self.name, self.scene, self.target, self.warmUp) = (name, scene, target, warmUp)
        flow = try scene.path.flow(to: target)
    }

    /// Measures one round; its first connections find cold caches and do not count.
    func measure(_ connections: Int) throws {
        _ = try scene.path.connect(10, to: target)
        let begin = monotonicTime()
        let round = try scene.path.connect(connections, to: target)
        totals.append(Double(monotonicTime() - begin) / Double(connections))
        times += round
        medians.append(Double(Percentiles(round).median))
        exchanges.append(Double(try flow.exchange(50)))
        // Others use the processors, too.
        usleep(1000)
    }

    var row: ConnectionBench.Row {
        let percentiles = Percentiles(times)
        return ConnectionBench.Row(
            name: name,
            layout: layout,
            services: services,
            median: Double(percentiles.median) / 1000,
            p99: Double(percentiles[99]) / 1000,
            perSecond: 1e9 / (totals.median ?? 0),
            exchangesPerSecond: 1e9 / (exchanges.median ?? 0)
        )
    }

    /// Returns the median of the quotients of both rounds' medians.
    func ratio(to other: ConnectionCase) -> Double? {
        zip(medians, other.medians).map { $0 / $1 }.median
    }
}
