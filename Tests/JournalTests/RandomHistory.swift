import KubernetesModel
import NetworkTypes
import Reconciler
import ServicePlan
import TestSupport

extension RandomPlans {
    private mutating func chance(_ oneIn: Int) -> Bool {
        Int.random(in: 0..<oneIn, using: &random) == 0
    }

    /// Returns a plan in which every field may be set.
    mutating func fullPlan(_ index: Int) -> ServicePlan {
        var plan = plan(index)
        plan.frontends.sort { $0.key < $1.key }
        for pool in plan.pools.indices where chance(3) {
            plan.pools[pool].draining = (0..<Int.random(in: 0...3, using: &random)).map {
                Endpoint(IPAddress(ipv4: 0x0A0A_0000 + UInt32($0 * 3)), 8080, isLocal: $0 == 1)
            }
        }
        if chance(3) { plan.scheduler = chance(2) ? "rr" : "sh" }
        if chance(3) {
            for number in 0..<Int.random(in: 0...4, using: &random) {
                plan.weights[IPAddress(ipv4: 0x0A02_0001 + UInt32(number))] =
                    UInt16.random(in: 0...3, using: &random)
            }
        }
        if chance(3) {
            plan.healthCheck = HealthCheck(
                port: 30_000,
                localEndpoints: Int.random(in: 0...2, using: &random)
            )
        }
        if chance(3) {
            plan.forwardedPorts = (0..<Int.random(in: 0...2, using: &random)).map {
                ForwardedPort(
                    key: FrontendKey(.loopback(.ipv4), .tcp, UInt16(30_001 + $0)),
                    portName: "p",
                    endpoints: plan.pools.first?.endpoints ?? [],
                    affinityTimeout: chance(2) ? 60 : nil
                )
            }
        }
        return plan
    }

    /// Returns a plan that differs a little: one endpoint of one pool came or went.
    mutating func nudged(_ plan: ServicePlan) -> ServicePlan {
        var plan = plan
        guard let pool = plan.pools.indices.randomElement(using: &random) else { return plan }
        if let index = plan.pools[pool].endpoints.indices.randomElement(using: &random), chance(2) {
            plan.pools[pool].endpoints.remove(at: index)
        } else {
            let new = Endpoint(
                IPAddress(ipv4: 0x0A09_0000 + UInt32.random(in: 0...0xFF, using: &random)),
                8080,
                isLocal: false
            )
            guard !plan.pools[pool].endpoints.contains(where: { $0.place == new.place }) else {
                return plan
            }
            plan.pools[pool].endpoints = (plan.pools[pool].endpoints + [new]).sorted()
        }
        return plan
    }
}

/// Returns the record of a sync that has committed a change.
func record(
    _ change: PlanChange,
    at moment: ContinuousClock.Instant,
    version: String = "7"
) -> SyncRecord {
    let name = ObjectName(change.service)
    let origin = ChangeOrigin(version: version, arrived: moment - .milliseconds(3))
    let slice = ObjectName(namespace: name.namespace, name: "\(name.name)-1")
    var record = SyncRecord()
    record.ended = moment
    record.changes = [
        CommittedChange(
            change,
            causes: [ChangeCause(.endpointSlice, slice, of: name, origin)],
            compiled: moment - .milliseconds(1)
        )
    ]
    return record
}

/// Returns the record of the first sync.
func firstRecord(services: Int, at moment: ContinuousClock.Instant) -> SyncRecord {
    var record = SyncRecord()
    (record.isFirst, record.isFull, record.services, record.ended) = (true, true, services, moment)
    return record
}
