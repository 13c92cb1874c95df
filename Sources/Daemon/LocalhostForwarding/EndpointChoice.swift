internal import ServicePlan

/// Chooses the next endpoint of a port.
///
/// All clients are the node itself, so with affinity they all share one endpoint until no client
/// has come for the affinity timeout (`pkg/proxy/localnodeportproxy` of Kubernetes 1.37).
struct EndpointChoice {
    private let port: ForwardedPort
    private var pinned: (endpoint: Endpoint, until: ContinuousClock.Instant)?

    init(_ port: ForwardedPort) { self.port = port }

    /// Applies the new state of the port; an endpoint that still exists stays pinned.
    mutating func update(_ new: ForwardedPort) {
        let old = pinned
        self = Self(new)
        if let old, new.affinityTimeout != nil, new.endpoints.contains(old.endpoint) {
            pinned = old
        }
    }

    func contains(_ endpoint: Endpoint) -> Bool { port.endpoints.contains(endpoint) }

    mutating func next(
        at now: ContinuousClock.Instant,
        using random: inout some RandomNumberGenerator
    ) -> Endpoint? {
        guard let timeout = port.affinityTimeout else {
            return port.endpoints.randomElement(using: &random)
        }
        let kept = pinned.flatMap { now <= $0.until ? $0.endpoint : nil }
        guard let endpoint = kept ?? port.endpoints.randomElement(using: &random) else {
            return nil
        }
        pinned = (endpoint, now + .seconds(timeout))
        return endpoint
    }
}
