import EmbeddedAPIServer
import NetworkNamespaces

extension APIServer {
    /// Makes a server that listens on a port of the namespace's loopback, and returns its URL, too.
    static func listening(
        in namespace: NetworkNamespace,
        _ configuration: Configuration = Configuration()
    ) throws -> (server: APIServer, url: String) {
        let server = APIServer(configuration)
        let listener = try namespace.inside { try server.listen() }
        listener.start()
        return (server, listener.url)
    }
}
