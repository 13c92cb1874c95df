internal import KubernetesClient
internal import NetworkTypes
internal import Observability

/// The service proxy that serves metrics on this node.
enum RunningProxy {
    case needletail(StatusDocument)
    /// kube-proxy, in the mode that it tells.
    case kubeProxy(mode: String)

    /// Asks the port of metrics; nil if nobody answers, or nobody who is a proxy.
    ///
    /// kube-proxy tells its mode at `/proxyMode` (cmd/kube-proxy/app/server.go, serveMetrics), and so
    /// does needletail, which alone has `/status`.
    static func find(_ metricsAddress: String) async -> RunningProxy? {
        guard let end = ListenAddress(metricsAddress) else { return nil }
        let host = end.address.isUnspecified ? IPAddress.loopback(end.address.family) : end.address
        let server = DaemonClient(address: "\(AddressAndPort(host, end.port))")
        guard let answer = try? await server.get("/proxyMode") else { return nil }
        let mode = String(decoding: answer, as: UTF8.self)
        guard !mode.isEmpty, mode.utf8.count < 16, mode.allSatisfy({ $0.isLetter }) else {
            return nil
        }
        if let body = try? await server.get("/status"),
            let status = try? server.decode(StatusDocument.self, body)
        {
            return .needletail(status)
        }
        return .kubeProxy(mode: mode)
    }
}
