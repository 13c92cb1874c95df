internal import FoundationEssentials

/// How to reach an API server and who to be there.
///
/// Secrets are in here: whoever prints or reflects it sees the server's URL only.
package struct Credentials: Sendable, CustomStringConvertible, CustomReflectable {
    /// A file to be read for each use, or its contents.
    package enum Material: Sendable, Hashable {
        case file(String)
        case inline([UInt8])
    }

    package var server: String
    package var certificateAuthority: Material?
    package var clientCertificate: Material?
    package var clientKey: Material?
    package var token: Material?
    package var username: String?
    package var password: String?
    package var skipsVerification = false
    package var serverName: String?
    package var proxy: String?

    package var description: String { "Credentials(for: \(server))" }
    package var customMirror: Mirror { Mirror(self, children: ["server": server]) }

    package init(server: String) {
        self.server = server.hasSuffix("/") ? String(server.dropLast()) : server
    }

    /// The bearer token as it is now: a projected token's file is replaced every hour or so.
    func bearerToken() throws(ClientError) -> String? {
        switch token {
        case nil: return nil
        case .inline(let bytes): return String(decoding: bytes, as: UTF8.self)
        case .file(let path):
            guard let data = try? Data(contentsOf: URL(filePath: path)) else {
                throw .configuration("the token file \(path) cannot be read")
            }
            return String(decoding: data, as: UTF8.self).filter { !$0.isWhitespace }
        }
    }
}

extension Credentials {
    private static let serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

    /// Those that a pod is given.
    package static func inCluster(
        _ environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(ClientError) -> Credentials {
        guard let host = environment["KUBERNETES_SERVICE_HOST"],
            let port = environment["KUBERNETES_SERVICE_PORT"]
        else {
            throw .configuration(
                "this is no pod (KUBERNETES_SERVICE_HOST is not set); give --kubeconfig, --master"
                    + " or --manifests"
            )
        }
        var credentials = Credentials(
            server: "https://\(host.contains(":") ? "[\(host)]" : host):\(port)"
        )
        credentials.certificateAuthority = .file("\(serviceAccount)/ca.crt")
        credentials.token = .file("\(serviceAccount)/token")
        return credentials
    }
}
