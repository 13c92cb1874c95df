internal import FoundationEssentials
package import NetworkTypes

/// The health and the readiness of this node's proxy.
///
/// Health follows kube-proxy's rules (`pkg/proxy/healthcheck`): a slow proxy is unhealthy.
/// kube-proxy does not have readiness.
package struct ProxyHealth: Sendable {
    /// The time in seconds that an update may wait: twice the sync period.
    package var patience: Double
    private let families: [IPFamily]
    private var oldestQueued: ContinuousClock.Instant?
    private var lastUpdated: ContinuousClock.Instant?
    private let started: ContinuousClock.Instant
    /// The reason why the kernel is not programmed as it should be; nil if it is.
    package var reasonNotReady: String? = Self.notSynced
    private static let notSynced = "the first sync is not done"
    /// Whether another process programs this node, so that nothing waits for this one.
    package private(set) var isStandby = false
    /// The reason why load balancers should send nothing here: the node is going, or unknown.
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

    /// Takes note that another process programs this node.
    package mutating func standBy(_ reason: String) { (isStandby, reasonNotReady) = (true, reason) }

    /// Takes note that it is this process's turn; what has waited meanwhile is due from now on.
    package mutating func takeCharge(at now: ContinuousClock.Instant) {
        guard isStandby else { return }
        (isStandby, reasonNotReady) = (false, Self.notSynced)
        oldestQueued = oldestQueued.map { _ in now }
    }

    package func isHealthy(at now: ContinuousClock.Instant) -> Bool {
        isStandby || (oldestQueued.map { (now - $0).seconds <= patience } ?? true)
    }

    /// Returns the answer for `/healthz`, with the node's eligibility, or for `/livez`.
    package func answer(withEligibility: Bool, at now: Moment) -> HTTPResponse {
        let isHealthy = isHealthy(at: now.instant)
        let isEligible = reasonNotEligible == nil
        let isGood = isHealthy && (isEligible || !withEligibility)
        let updated = now.text(of: lastUpdated ?? started)
        let document = HealthDocument(
            // A healthy node shows the present time, since nothing has had to be done since its
            // last sync.
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

    /// Returns the answer for readiness.
    ///
    /// - Parameter lists: the names of the lists that have not arrived from the API yet
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

/// Encodes a value as JSON, for all JSON output.
///
/// The result contains nothing that a terminal acts on, whatever the names in it are:
/// `printableJSON`.
package func jsonText(_ value: some Encodable, pretty: Bool = false) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting =
        pretty
        ? [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        : [.sortedKeys, .withoutEscapingSlashes]
    // Only words and numbers are encoded here, so this does not fail.
    guard let data = try? encoder.encode(value) else { return "{}" }
    return String(decoding: data, as: UTF8.self).printableJSON
}

extension IPFamily {
    package var kubernetesName: String { self == .ipv4 ? "IPv4" : "IPv6" }
}
