import Journal
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

@Suite struct PlanDeltaTests {
    @Test(arguments: 0..<40 as Range<UInt64>)
    func `the older plan comes back from the newer one`(seed: UInt64) throws {
        var random = RandomPlans(seed: seed)
        for index in 0..<40 {
            let service = "test/service-\(index)"
            let old = index % 5 == 0 ? nil : random.fullPlan(index)
            let new: ServicePlan? =
                switch index % 7 {
                case 0: nil
                case 1, 2: old.map { random.nudged($0) }
                default: random.fullPlan(index)
                }
            let delta = PlanDelta(from: old, to: new)
            #expect(try delta.undone(from: new, of: service) == old)
            #expect(delta.steps.isEmpty == (old == new))
            #expect(delta.text.isEmpty == (old == new))
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `a plan to which the difference does not lead is noticed, or has nothing to do with it`(
        seed: UInt64
    ) {
        var random = RandomPlans(seed: seed)
        var noticed = 0
        for index in 1..<30 {
            let (old, new) = (random.fullPlan(index), random.fullPlan(index))
            let delta = PlanDelta(from: old, to: new)
            for wrong in [old, nil] where wrong != new {
                #expect(throws: PlanDelta.Mismatch.self) {
                    try delta.undone(from: wrong, of: new.service)
                }
                noticed += 1
            }
        }
        #expect(noticed > 30)
    }

    private static let old = plan([5, 6])

    /// A Service with a cluster IP whose endpoints are given by their last bytes.
    private static func plan(
        _ endpoints: [Int],
        _ change: (inout ServicePlan) -> Void = { _ in }
    ) -> ServicePlan {
        var plan = ServicePlan(service: "shop/web")
        plan.pools = [Pool(endpoints.map { Endpoint(ip("10.244.1.\($0)"), 8080, isLocal: false) })]
        plan.frontends = [
            Frontend(
                key: FrontendKey(ip("10.96.0.10"), .tcp, 80),
                kind: .clusterIP,
                portName: "http",
                action: .balance(pool: 0),
                masquerade: .nonPods
            )
        ]
        change(&plan)
        return plan
    }

    private static let texts: [(ServicePlan?, ServicePlan?, String)] = [
        (
            nil, old,
            "added, frontend +10.96.0.10:80/tcp, endpoints +10.244.1.5:8080 +10.244.1.6:8080"
        ),
        (old, nil, "removed"),
        (old, old, ""),
        (old, plan([5, 7]), "endpoints +10.244.1.7:8080 -10.244.1.6:8080"),
        (
            plan([]), plan(Array(1...12)),
            "endpoints +10.244.1.1:8080 +10.244.1.2:8080 +10.244.1.3:8080 +10.244.1.4:8080"
                + " +10.244.1.5:8080 +10.244.1.6:8080 +10.244.1.7:8080 +10.244.1.8:8080 and 4 more"
        ),
        (
            old,
            plan([6]) {
                $0.pools[0].draining = [Endpoint(ip("10.244.1.5"), 8080, isLocal: false)]
            },
            "endpoints -10.244.1.5:8080, draining +10.244.1.5:8080"
        ),
        (
            old,
            plan([]) {
                $0.pools = []
                $0.frontends[0].action = .reject
            },
            "frontend ~10.96.0.10:80/tcp: refused, there is no endpoint,"
                + " endpoints -10.244.1.5:8080 -10.244.1.6:8080"
        ),
        (
            old,
            plan([5, 6]) {
                $0.frontends.append($0.frontends[0])
                $0.frontends[1].key = FrontendKey(ip("192.0.2.1"), .tcp, 80)
                $0.frontends[1].kind = .externalIP
            },
            "frontend +192.0.2.1:80/tcp"
        ),
        (
            old,
            plan([5, 6]) {
                $0.frontends[0].affinityTimeout = 60
                $0.frontends[0].masquerade = .everyone
                $0.frontends[0].allowedSources = [prefix("10.0.0.0/8")]
            },
            "frontend ~10.96.0.10:80/tcp: masquerade non-pods -> everyone, affinity none -> 60s,"
                + " sources +10.0.0.0/8"
        ),
        (
            old,
            plan([5, 6]) {
                $0.scheduler = "sh"
                $0.weights = [ip("10.244.1.5"): 3]
                $0.healthCheck = HealthCheck(port: 30_000, localEndpoints: 1)
                $0.forwardedPorts = [
                    ForwardedPort(
                        key: FrontendKey(ip("127.0.0.1"), .tcp, 30_001),
                        portName: "http",
                        endpoints: []
                    )
                ]
            },
            "scheduler default -> sh, health check none -> port 30000 with 1 local endpoints, weights,"
                + " on localhost +127.0.0.1:30001/tcp"
        ),
        (
            plan([5]) { $0.pools.append(Pool([Endpoint(ip("10.244.1.6"), 8080, isLocal: false)])) },
            plan([6]) { $0.pools.append(Pool([Endpoint(ip("10.244.1.5"), 8080, isLocal: false)])) },
            "the same endpoints, in other pools"
        ),
    ]

    @Test func `differences are said on one line`() {
        for (old, new, text) in Self.texts {
            #expect(PlanDelta(from: old, to: new).text == text)
        }
    }
}
