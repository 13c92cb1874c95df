package import Logging
package import NetworkTypes
package import ServicePlan
internal import Synchronization

/// Answers load balancers on the health check node ports of Services with external traffic policy
/// Local: `pkg/proxy/healthcheck/service_health.go`.
package final class ServiceHealth: Sendable {
    private struct State {
        /// By `namespace/name`.
        var checks: [String: HealthCheck] = [:]
        var listeners: [ListenAddress: HTTPServer.Listener] = [:]
        /// Told once.
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

    /// What was just programmed.
    ///
    /// - Parameters:
    ///   - changes: by service; nil: it has no check any more
    ///   - addresses: where NodePorts answer
    package func update(_ changes: [String: HealthCheck?], addresses: [IPAddress]) {
        state.withLock { state in
            for (service, check) in changes { state.checks[service] = check }
            let wanted = Set(
                state.checks.values.flatMap { check in
                    addresses.map { ListenAddress($0, check.port) }
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
            let service = Self.service(on: address.port, state) ?? ""
            logger.error("health check of Service \(service): \(error); tried again at each sync")
            onFailure(service, error)
        }
    }

    /// The API gives each Service a port of its own; in manifests the first by name has it.
    private static func service(on port: UInt16, _ state: State) -> String? {
        state.checks.filter { $0.value.port == port }.keys.min()
    }

    private func answer(port: UInt16) -> HTTPResponse {
        let found = state.withLock { state in
            Self.service(on: port, state).map { ($0, state.checks[$0]?.localEndpoints ?? 0) }
        }
        guard let (service, count) = found else { return .refusal(404) }
        let name = service.split(separator: "/", maxSplits: 1)
        let isHealthy = isProxyHealthy()
        var response = HTTPResponse(
            count > 0 && isHealthy ? 200 : 503,
            HTTPResponse.json,
            """
            {
            \t"service": {
            \t\t"namespace": "\(name.first ?? "")",
            \t\t"name": "\(name.last ?? "")"
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
