import NetworkNamespaces
import NetworkTypes
import ServicePlan
import Testing

@testable import needletail_lab

/// What `needletail-lab bench-connections` compares with, and its arithmetic.
@Suite struct ConnectionBenchTests {
    private func layout(_ services: ConnectionServices) throws -> KubeProxyLayout {
        let cidr = try #require(IPPrefix(ConnectionPath.clusterCIDR))
        return KubeProxyLayout(services.plans, clusterCIDR: cidr)
    }

    @Test func `kube-proxy's layout has a chain for each Service and endpoint`() throws {
        var services = ConnectionServices()
        services.add(endpoints: 2, affinityTimeout: 10_800)
        let text = try layout(services).text
        let service = "service-0/tcp/http"
        let lines = text.split(separator: "\n").map { $0.drop { $0 == "\t" } }
        let named = { (kind: String) in
            lines.compactMap { line -> String? in
                guard line.hasPrefix("chain \(kind)-"), line.contains(service) else { return nil }
                return String(line.dropFirst(6).dropLast(2))
            }
        }
        let (endpoints, chains) = (named("endpoint"), named("service"))
        #expect(endpoints.count == 2 && chains.count == 1)
        let verdicts = endpoints.enumerated().map { "\($0) : goto \($1)" }
        let remembered = endpoints.map { "affinity\($0.dropFirst(8))" }
        let expected =
            ["ip daddr 10.96.0.1 ip saddr != 10.128.0.0/9 jump mark-for-masquerade"]
            + zip(remembered, endpoints).map { "ip saddr @\($0) goto \($1)" }
            + ["numgen random mod 2 vmap { \(verdicts.joined(separator: ", ")) }"]
        let start = try #require(lines.firstIndex(of: "chain \(chains[0]) {"))
        #expect(lines[(start + 1)...].prefix(4).map(String.init) == expected)
        let first = try #require(lines.firstIndex(of: "chain \(endpoints[0]) {"))
        #expect(
            lines[(first + 1)...].prefix(2).map(String.init) == [
                "update @\(remembered[0]) { ip saddr }",
                "meta l4proto tcp dnat to 10.160.0.1:8080",
            ]
        )
    }

    @Test func `nft accepts kube-proxy's layout`() throws {
        var services = ConnectionServices()
        services.add(3, endpoints: 5)
        services.add(endpoints: 2, affinityTimeout: 10_800)
        _ = services.addLoadBalancer(sources: 20)
        let namespace = try NetworkNamespace()
        try loadRules(layout(services).text, in: namespace)
        let listed = try namespace.run(["nft", "list", "table", "ip", "kube-proxy"])
        let chains = listed.split(separator: "\n").filter { $0.hasPrefix("\tchain endpoint-") }
        #expect(chains.count == 22)
        #expect(listed.contains("203.0.113.1 . tcp . 80 : goto firewall-"))
    }

    @Test func `connections through both layouts are measured`() async throws {
        let rows = try await ConnectionBench(
            sizes: [2, 3],
            rounds: 2,
            connections: 5,
            rememberedClients: 10,
            sourcePrefixes: 10
        ).run()
        let cluster = rows.filter { $0.name == "cluster IP" }
        #expect(cluster.map(\.services) == [2, 3, 2, 3])
        #expect(cluster.map { $0.relativeToKubeProxy != nil } == [false, false, true, true])
        #expect(rows.allSatisfy { $0.median > 0 && $0.p99 >= $0.median })
    }

    @Test func `percentiles are those of the nearest rank`() {
        let hundred = Percentiles((1...100).reversed())
        #expect(hundred.median == 50 && hundred[99] == 99 && hundred[100] == 100)
        #expect(hundred.largest == 100 && Percentiles([7])[1] == 7)
        #expect(Percentiles([3, 1, 2]).median == 2)
        #expect([4.0, 1, 2, 3].median == 2.5 && [Double]().median == nil)
    }
}
