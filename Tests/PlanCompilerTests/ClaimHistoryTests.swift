import KubernetesModel
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

/// Claims of several addresses, of which some are allotted by the API server.
@Suite struct ClaimHistoryTests {
    private struct Claim {
        let isAllotted: Bool
        let round: Int
        let createdAt: Int64
        let service: String

        func precedes(_ other: Claim) -> Bool {
            if isAllotted != other.isAllotted { return isAllotted }
            return (round, createdAt, service) < (other.round, other.createdAt, other.service)
        }
    }

    private static let addresses = (1...3).map { ip("198.51.100.\($0)") }

    private struct History {
        var random: Seeded
        var services: [String: Service] = [:]
        /// Since when a Service, as the same object, has claimed an address.
        var since: [String: [IPAddress: Int]] = [:]

        /// Changes some Services; returns their names.
        mutating func next(_ round: Int) -> [String] {
            let names = Set((0..<3).map { _ in "s\(Int.random(in: 0..<6, using: &random))" })
            for name in names {
                let before = services[name]
                services[name] = Int.random(in: 0..<4, using: &random) == 0 ? nil : service(name)
                let isSame = before?.createdAt == services[name]?.createdAt
                let claimed = services[name].map { $0.clusterIPs + $0.externalIPs } ?? []
                let known = isSame ? since[name] ?? [:] : [:]
                since[name] = Dictionary(
                    claimed.map { ($0, known[$0] ?? round) },
                    uniquingKeysWith: { first, _ in first }
                )
            }
            return names.shuffled(using: &random)
        }

        private mutating func service(_ name: String) -> Service {
            let own = ip("10.96.0.\(name.dropFirst())9")
            var service = ClusterBuilder(name).service
            service.createdAt = Int64.random(in: 0..<3, using: &random)
            service.externalIPs = addresses.filter { _ in Bool.random(using: &random) }
            let isAllotted = Int.random(in: 0..<4, using: &random) == 0
            service.clusterIPs = [
                isAllotted ? addresses.randomElement(using: &random) ?? own : own
            ]
            return service
        }

        /// Who has an address by the rules of `FrontendClaims`.
        func owner(of address: IPAddress) -> String? {
            services.compactMap { name, service -> Claim? in
                guard let round = since[name]?[address] else { return nil }
                return Claim(
                    isAllotted: service.clusterIPs.contains(address),
                    round: round,
                    createdAt: service.createdAt ?? .max,
                    service: "default/\(name)"
                )
            }.min { $0.precedes($1) }?.service
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `each address has the owner that the rules name, and each loser hears of it`(
        seed: UInt64
    ) {
        var history = History(random: Seeded(seed))
        var plans = ClusterPlans()
        var held: [String: ServicePlan] = [:]
        for round in 0..<80 {
            let names = history.next(round)
            let update = plans.update(
                names.map { ObjectName(namespace: "default", name: $0) },
                for: NodeView(name: "here")
            ) { [services = history.services] name in services[name.name].map { ($0, []) } }
            // A backend that applies the changes has what was compiled.
            for change in update.changes {
                #expect(change.old == held[change.service])
                held[change.service] = change.new
            }
            #expect(Set(held.values) == Set(plans.plans))
            for address in Self.addresses {
                let owners = plans.plans.filter { plan in
                    plan.frontends.contains { $0.key.address == address }
                }
                #expect(owners.map(\.service) == [history.owner(of: address)].compactMap(\.self))
            }
            checkDiagnostics(plans, history)
        }
    }

    private func checkDiagnostics(_ plans: ClusterPlans, _ history: History) {
        for (name, service) in history.services {
            let claimed = Set(service.clusterIPs + service.externalIPs)
            let rivals = claimed.filter { address in
                history.services.contains {
                    $0.key != name && ($0.value.clusterIPs + $0.value.externalIPs).contains(address)
                }
            }
            let told = (plans.diagnostics[service.name] ?? []).filter {
                $0.event == .frontendConflict
            }
            #expect(told.count == rivals.count, "\(name): \(told)")
            for address in rivals {
                let isOwner = history.owner(of: address) == "default/\(name)"
                let text = told.first { "\($0)".contains("\(address):80") }.map { "\($0)" } ?? ""
                #expect(text.contains("stays with this Service") == isOwner, "\(text)")
            }
        }
    }
}
