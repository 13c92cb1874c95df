internal import FoundationEssentials
package import NetworkTypes

/// Whether this node programs what it should: kube-proxy's rules (`pkg/proxy/healthcheck`), where
/// slow is unhealthy, and readiness, which kube-proxy does not have.
package struct ProxyHealth: Sendable {
    /// An update may wait so long: twice the sync period, in seconds.
    package var patience: Double
    private let families: [IPFamily]
    private var oldestQueued: ContinuousClock.Instant?
    private var lastUpdated: ContinuousClock.Instant?
    private let started: ContinuousClock.Instant
    /// Why the kernel does not hold what it should; nil: it does.
    package var reasonNotReady: String? = "the first sync is not done"
    /// No load balancer shall send anything here: the node is going, or unknown.
    package var reasonNotEligible: String?

    package init(families: [IPFamily], patience: Double, now: ContinuousClock.Instant) {
        (self.families, self.patience, started) = (families, patience, now)
    }

    package mutating func queued(at now: ContinuousClock.Instant) {
        oldestQueued = oldestQueued ?? now
    }

    package mutating func updated(at now: ContinuousClock.Instant) {
        oldestQueued = nil
        lastUpdated = now
    }

    package func isHealthy(at now: ContinuousClock.Instant) -> Bool {
        oldestQueued.map { (now - $0).seconds <= patience } ?? true
    }

    /// `/healthz`, with the node's eligibility, or `/livez`.
    package func answer(withEligibility: Bool, at now: Moment) -> HTTPResponse {
        let isHealthy = isHealthy(at: now.instant)
        let isEligible = reasonNotEligible == nil
        let isGood = isHealthy && (isEligible || !withEligibility)
        let updated = now.text(of: lastUpdated ?? started)
        let document = HealthDocument(
            // Good now is better than a sync long ago: nothing was to be done since.
            lastUpdated: isGood ? now.text : updated,
            currentTime: now.text,
            nodeEligible: withEligibility ? isEligible : nil,
            healthy: isHealthy,
            status: Dictionary(
                uniqueKeysWithValues: families.map { family in
                    (
                        family.kubernetesName,
                        HealthDocument.Family(lastUpdated: updated, healthy: isHealthy)
                    )
                }
            )
        )
        return HTTPResponse(isGood ? 200 : 503, HTTPResponse.json, jsonText(document))
    }

    /// - Parameter lists: what has not come from the API yet
    package func readiness(awaiting lists: [String] = []) -> HTTPResponse {
        guard let reason = reasonNotReady else {
            return HTTPResponse(200, HTTPResponse.plain, "ok")
        }
        let waiting =
            lists.isEmpty ? "" : "; waiting for the lists of \(lists.joined(separator: ", "))"
        return HTTPResponse(
            503,
            HTTPResponse.plain,
            "not ready: \(reason.printable)\(waiting)\n"
        )
    }
}

private struct HealthDocument: Encodable {
    struct Family: Encodable {
        let lastUpdated: String
        let healthy: Bool
    }

    let lastUpdated: String
    let currentTime: String
    let nodeEligible: Bool?
    let healthy: Bool
    let status: [String: Family]
}

/// A value as JSON, for every output that is JSON.
///
/// Nothing in it acts on a terminal, whatever names hold: `printableJSON`.
package func jsonText(_ value: some Encodable, pretty: Bool = false) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting =
        pretty
        ? [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        : [.sortedKeys, .withoutEscapingSlashes]
    // What is encoded here are words and numbers.
    guard let data = try? encoder.encode(value) else { return "{}" }
    return String(decoding: data, as: UTF8.self).printableJSON
}

extension IPFamily {
    package var kubernetesName: String { self == .ipv4 ? "IPv4" : "IPv6" }
}
