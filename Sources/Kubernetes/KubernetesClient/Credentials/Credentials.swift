internal import FoundationEssentials

/// The address of an API server, and the identity to use there.
///
/// It holds secrets; printing or reflecting it shows the server's URL only.
package struct Credentials: Sendable, CustomStringConvertible, CustomReflectable {
    /// The contents of a file, or the path of a file that is read again for each use.
    ///
    /// A renewed file is used at once.
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
    /// The headers that impersonate another user (`as`, `as-groups`, `as-uid`).
    package var impersonation: [(name: String, value: String)] = []
    package var skipsVerification = false
    package var serverName: String?
    package var proxy: String?

    package var description: String { "Credentials(for: \(server))" }
    package var customMirror: Mirror { Mirror(self, children: ["server": server]) }

    package init(server: String) {
        self.server = server.hasSuffix("/") ? String(server.dropLast()) : server
    }

    /// Adds a missing scheme to the server: https if any TLS setting is present, otherwise http.
    ///
    /// client-go's `DefaultServerUrlFor` does the same.
    mutating func completeServer() {
        guard !server.contains("://") else { return }
        let usesTLS = certificateAuthority != nil || clientCertificate != nil || skipsVerification
        server = "\(usesTLS ? "https" : "http")://\(server)"
    }

    private static let serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

    /// Reads the credentials that Kubernetes gives to a pod.
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

/// The identity that is sent with one request; as secret as `Credentials`.
struct Identity: Sendable, CustomStringConvertible, CustomReflectable {
    var certificateAuthority: [UInt8]?
    var clientCertificate: [UInt8]?
    var clientKey: [UInt8]?
    var token: String?

    var description: String { "Identity" }
    var customMirror: Mirror { Mirror(self, children: []) }

    /// Reads the files as they are now.
    ///
    /// - Parameter plugin: the exec plugin's answer, if there is a plugin
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
    /// Returns a copy with the present content of the certificate authority's file.
    ///
    /// Throws if the file holds no PEM certificate.
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
