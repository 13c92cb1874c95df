internal import ServicePlan

/// Which endpoint of a port is next.
///
/// All clients are the node itself, so with affinity all of them share one endpoint until nobody has
/// come for so long (`pkg/proxy/localnodeportproxy` of Kubernetes 1.37).
struct EndpointChoice {
    private let port: ForwardedPort
    private var pinned: (endpoint: Endpoint, until: ContinuousClock.Instant)?

    init(_ port: ForwardedPort) { self.port = port }

    /// Takes over what the port is now; an endpoint that is still there stays pinned.
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
