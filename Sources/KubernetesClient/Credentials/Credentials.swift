internal import FoundationEssentials

/// How to reach an API server and who to be there.
///
/// Secrets are in here: whoever prints or reflects it sees the server's URL only.
package struct Credentials: Sendable, CustomStringConvertible, CustomReflectable {
    /// A file to be read for each use, so that a renewed one counts at once, or its contents.
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
    package var plugin: ExecPlugin?
    /// Headers that ask to be somebody else (`as`, `as-groups`, `as-uid`).
    package var impersonation: [(name: String, value: String)] = []
    package var skipsVerification = false
    package var serverName: String?
    package var proxy: String?

    package var description: String { "Credentials(for: \(server))" }
    package var customMirror: Mirror { Mirror(self, children: ["server": server]) }

    package init(server: String) {
        self.server = server.hasSuffix("/") ? String(server.dropLast()) : server
    }

    /// A server without a scheme is asked over TLS if anything is said of TLS, as in client-go's
    /// `DefaultServerUrlFor`.
    mutating func completeServer() {
        guard !server.contains("://") else { return }
        let usesTLS = certificateAuthority != nil || clientCertificate != nil || skipsVerification
        server = "\(usesTLS ? "https" : "http")://\(server)"
    }

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

/// What one request shows of its sender; as secret as `Credentials`.
struct Identity: Sendable, CustomStringConvertible, CustomReflectable {
    var certificateAuthority: [UInt8]?
    var clientCertificate: [UInt8]?
    var clientKey: [UInt8]?
    var token: String?

    var description: String { "Identity" }
    var customMirror: Mirror { Mirror(self, children: []) }

    /// Reads the files as they are now.
    ///
    /// - Parameter plugin: what the exec plugin said, if there is one
    init(_ credentials: Credentials, plugin: ExecCredential?) throws(ClientError) {
        certificateAuthority = try credentials.certificateAuthority?.load()
        clientCertificate = try credentials.clientCertificate?.load()
        clientKey = try credentials.clientKey?.load()
        if let bytes = try credentials.token?.load() {
            token = String(decoding: bytes, as: UTF8.self).filter { !$0.isWhitespace }
        }
        guard let plugin else { return }
        token = plugin.token ?? token
        if let certificate = plugin.clientCertificate {
            (clientCertificate, clientKey) = (certificate, plugin.clientKey)
        }
    }
}

extension Credentials {
    /// With the certificate authority as its file has it now, so that a bad one can be refused.
    package func withAuthorityRead() throws(ClientError) -> Credentials {
        guard case .file(let path)? = certificateAuthority else { return self }
        let content = try certificateAuthority?.load() ?? []
        guard String(decoding: content, as: UTF8.self).contains("-----BEGIN CERTIFICATE-----")
        else {
            throw .configuration(
                "\(path) holds no PEM certificate; it is the certificate authority"
            )
        }
        var credentials = self
        credentials.certificateAuthority = .inline(content)
        return credentials
    }
}

extension Credentials.Material {
    fileprivate func load() throws(ClientError) -> [UInt8] {
        switch self {
        case .inline(let bytes): return bytes
        case .file(let path):
            guard let data = try? Data(contentsOf: URL(filePath: path)) else {
                throw .configuration("\(path) cannot be read; check the file and its mode")
            }
            return Array(data)
        }
    }
}
