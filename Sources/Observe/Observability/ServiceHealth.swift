package import Logging
package import NetworkTypes
package import ServicePlan
internal import Synchronization

/// Answers load balancers on the health check node ports of Services.
///
/// Such Services have external traffic policy Local: `pkg/proxy/healthcheck/service_health.go`.
package final class ServiceHealth: Sendable {
    fileprivate struct State {
        /// The checks by `namespace/name` of their Services.
        var checks: [String: HealthCheck] = [:]
        /// The Service of each port; plans give a port to one Service only (`FrontendClaims`).
        var services: [UInt16: String] = [:]
        var addresses: [IPAddress] = []
        var listeners: [ListenAddress: HTTPServer.Listener] = [:]
        /// The addresses on which listening failed, each reported once.
        var failed: Set<ListenAddress> = []
    }

    private let server: HTTPServer
    private let isProxyHealthy: @Sendable () -> Bool
    private let onFailure: @Sendable (_ service: String, ListenError) -> Void
    private let logger: Logger
    private let state = Mutex(State())

    package init(
        _ server: HTTPServer,
        isProxyHealthy: @escaping @Sendable () -> Bool,
        onFailure: @escaping @Sendable (_ service: String, ListenError) -> Void,
        logger: Logger
    ) {
        (self.server, self.isProxyHealthy) = (server, isProxyHealthy)
        (self.onFailure, self.logger) = (onFailure, logger)
    }

    /// Applies the health checks that were just programmed.
    ///
    /// - Parameters: - changes: the new checks by Service; nil if a Service no longer has one -
    ///   addresses: the addresses on which NodePorts answer
    package func update(_ changes: [String: HealthCheck?], addresses: [IPAddress]) {
        state.withLock { state in
            guard state.apply(changes, addresses) || !state.failed.isEmpty else { return }
            let wanted = Set(
                state.services.keys.flatMap { port in
                    addresses.map { ListenAddress($0, port) }
                }
            )
            for (address, listener) in state.listeners where !wanted.contains(address) {
                server.stopListening(listener)
                state.listeners[address] = nil
            }
            state.failed.formIntersection(wanted)
            for address in wanted where state.listeners[address] == nil {
                listen(on: address, &state)
            }
        }
    }

    private func listen(on address: ListenAddress, _ state: inout State) {
        do throws(ListenError) {
            state.listeners[address] = try server.listen(on: address) { [weak self] _ in
                self?.answer(port: address.port) ?? .refusal(503)
            }
            state.failed.remove(address)
        } catch {
            guard state.failed.insert(address).inserted else { return }
            let service = state.services[address.port] ?? ""
            let consequence = "not served, so load balancers take this node for dead"
            logger.error(
                "the health check of Service \(service) is \(consequence): \(error); trying again at each sync"
            )
            onFailure(service, error)
        }
    }

    private func answer(port: UInt16) -> HTTPResponse {
        let found = state.withLock { state in
            state.services[port].map { ($0, state.checks[$0]?.localEndpoints ?? 0) }
        }
        guard let (service, count) = found else { return .refusal(404) }
        let name = service.split(separator: "/", maxSplits: 1).map(String.init)
        let isHealthy = isProxyHealthy()
        var response = HTTPResponse(
            count > 0 && isHealthy ? 200 : 503,
            HTTPResponse.json,
            """
            {
            \t"service": {
            \t\t"namespace": \(jsonText(name.first ?? "")),
            \t\t"name": \(jsonText(name.last ?? ""))
            \t},
            \t"localEndpoints": \(count),
            \t"serviceProxyHealthy": \(isHealthy)
            }
            """
        )
        response.headers.append(("X-Load-Balancing-Endpoint-Weight", "\(count)"))
        return response
    }
}

extension ServiceHealth.State {
    /// Applies changes; returns whether the addresses or ports to listen on have changed.
    fileprivate mutating func apply(_ changes: [String: HealthCheck?], _ addresses: [IPAddress])
        -> Bool
    {
        var isOther = self.addresses != addresses
        self.addresses = addresses
        for (service, check) in changes where check != nil || checks[service] != nil {
            let (old, new) = (checks[service]?.port, check?.port)
            checks[service] = check
            guard old != new else { continue }
            isOther = true
            // The port may already belong to another Service.
            if let old, services[old] == service { services[old] = nil }
            if let new { services[new] = service }
        }
        return isOther
    }
}
