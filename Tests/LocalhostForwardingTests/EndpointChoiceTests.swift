@testable import LocalhostForwarding
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// `pkg/proxy/localnodeportproxy` of Kubernetes 1.37.
@Suite struct EndpointChoiceTests {
    private let start = ContinuousClock.now

    private func port(_ hosts: [Int], affinity: UInt32? = nil) -> ForwardedPort {
        ForwardedPort(
            key: FrontendKey(ip("127.0.0.1"), .tcp, 30_080),
            portName: "",
            endpoints: hosts.map { Endpoint(ip("10.0.0.\($0)"), 80, isLocal: false) },
            affinityTimeout: affinity
        )
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `with affinity an endpoint stays while clients come and it is one`(seed: UInt64) {
        var random = Seeded(seed)
        var hosts = [1, 2, 3]
        var choice = EndpointChoice(port(hosts, affinity: 60))
        var (now, last) = (start, (endpoint: Endpoint?.none, at: start))
        for _ in 0..<200 {
            now += .seconds(Int.random(in: 0...80, using: &random))
            if Int.random(in: 0..<6, using: &random) == 0 {
                hosts = (1...4).filter { _ in Bool.random(using: &random) }
                choice.update(port(hosts, affinity: 60))
            }
            let next = choice.next(at: now, using: &random)
            #expect((next == nil) == hosts.isEmpty)
            if let next {
                #expect(choice.contains(next))
                let isKept = last.endpoint.map { choice.contains($0) } ?? false
                if isKept, now - last.at <= .seconds(60) { #expect(next == last.endpoint) }
                last = (next, now)
            } else {
                last = (nil, now)
            }
        }
    }

    @Test func `without affinity every endpoint gets its share`() {
        var random = Seeded(1)
        var choice = EndpointChoice(port([1, 2, 3]))
        var counts: [IPAddress: Int] = [:]
        for _ in 0..<900 {
            if let next = choice.next(at: start, using: &random) {
                counts[next.address, default: 0] += 1
            }
        }
        // Of 900, 300 each; the standard deviation is 14.
        #expect(counts.count == 3 && counts.values.allSatisfy { (230...370).contains($0) })
    }

    @Test func `affinity that is turned off lets its endpoint go`() {
        var random = Seeded(2)
        var choice = EndpointChoice(port([1], affinity: 60))
        _ = choice.next(at: start, using: &random)
        choice.update(port([1, 2]))
        choice.update(port([1, 2], affinity: 60))
        let chosen = Set(
            (0..<50 as Range<UInt64>).compactMap { seed -> IPAddress? in
                var (copy, random) = (choice, Seeded(seed))
                return copy.next(at: start, using: &random)?.address
            }
        )
        #expect(chosen == [ip("10.0.0.1"), ip("10.0.0.2")])
    }
}
