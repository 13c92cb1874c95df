internal import FoundationEssentials
package import NetworkTypes

/// Whether this node programs what it should: kube-proxy's rules (`pkg/proxy/healthcheck`), where
/// slow is unhealthy, and readiness, which kube-proxy does not have.
package struct ProxyHealth: Sendable {
    /// An update may wait so long: twice the sync period.
    package var patience: Double
    private let families: [IPFamily]
    /// Seconds since 1970.
    private var oldestQueued: Double?
    private var lastUpdated: Double?
    private let started: Double
    /// Why the kernel does not hold what it should; nil: it does.
    package var reasonNotReady: String? = "the first sync is not done"
    /// No load balancer shall send anything here: the node is going, or unknown.
    package var reasonNotEligible: String?

    package init(families: [IPFamily], patience: Double, now: Double) {
        (self.families, self.patience, started) = (families, patience, now)
    }

    package mutating func queued(at now: Double) { oldestQueued = oldestQueued ?? now }

    package mutating func updated(at now: Double) {
        oldestQueued = nil
        lastUpdated = now
    }

    package func isHealthy(at now: Double) -> Bool {
        oldestQueued.map { now - $0 <= patience } ?? true
    }

    /// `/healthz`, with the node's eligibility, or `/livez`.
    package func answer(withEligibility: Bool, at now: Double) -> HTTPResponse {
        let isHealthy = isHealthy(at: now)
        let isEligible = reasonNotEligible == nil
        let isGood = isHealthy && (isEligible || !withEligibility)
        let document = HealthDocument(
            // Good now is better than a sync long ago: nothing was to be done since.
            lastUpdated: Self.text(isGood ? now : lastUpdated ?? started),
            currentTime: Self.text(now),
            nodeEligible: withEligibility ? isEligible : nil,
            healthy: isHealthy,
            status: Dictionary(
                uniqueKeysWithValues: families.map { family in
                    (
                        family.kubernetesName,
                        HealthDocument.Family(
                            lastUpdated: Self.text(lastUpdated ?? started),
                            healthy: isHealthy
                        )
                    )
                }
            )
        )
        return HTTPResponse(isGood ? 200 : 503, HTTPResponse.json, jsonText(document))
    }

    package func readiness() -> HTTPResponse {
        reasonNotReady.map { HTTPResponse(503, HTTPResponse.plain, "not ready: \($0)\n") }
            ?? HTTPResponse(200, HTTPResponse.plain, "ok")
    }

    static func text(_ time: Double) -> String {
        let whole = Date(timeIntervalSince1970: time.rounded(.down)).formatted(.iso8601)
        let micros = String(Int((time - time.rounded(.down)) * 1e6))
        return "\(whole.dropLast()).\(String(repeating: "0", count: 6 - micros.count))\(micros)Z"
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

func jsonText(_ value: some Encodable, pretty: Bool = false) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting =
        pretty
        ? [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        : [.sortedKeys, .withoutEscapingSlashes]
    // What is encoded here are words and numbers.
    guard let data = try? encoder.encode(value) else { return "{}" }
    return String(decoding: data, as: UTF8.self)
}

extension IPFamily {
    package var kubernetesName: String { self == .ipv4 ? "IPv4" : "IPv6" }
}
