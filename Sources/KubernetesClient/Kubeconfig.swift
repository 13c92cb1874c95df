internal import FoundationEssentials
internal import Yams

/// The parts of a kubeconfig that a client needs (`client-go/tools/clientcmd/api/v1`).
private struct Kubeconfig: Decodable {
    struct Named<Value: Decodable>: Decodable {
        let name: String
        let value: Value

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Key.self)
            name = try container.decode(String.self, forKey: Key("name"))
            let key = ["cluster", "context", "user"].map { Key($0) }.first(
                where: container.contains
            )
            value = try container.decode(Value.self, forKey: key ?? Key("cluster"))
        }
    }

    struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(_ name: String) { stringValue = name }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    struct Context: Decodable {
        let cluster: String
        let user: String?
    }

    struct Cluster: Decodable {
        enum CodingKeys: String, CodingKey {
            case server
            case certificateAuthority = "certificate-authority"
            case certificateAuthorityData = "certificate-authority-data"
            case insecureSkipTLSVerify = "insecure-skip-tls-verify"
            case tlsServerName = "tls-server-name"
            case proxyURL = "proxy-url"
        }
        let server: String
        let certificateAuthority: String?
        let certificateAuthorityData: String?
        let insecureSkipTLSVerify: Bool?
        let tlsServerName: String?
        let proxyURL: String?
    }

    struct User: Decodable {
        enum CodingKeys: String, CodingKey {
            case clientCertificate = "client-certificate"
            case clientCertificateData = "client-certificate-data"
            case clientKey = "client-key"
            case clientKeyData = "client-key-data"
            case token, tokenFile, username, password, exec
        }
        let clientCertificate: String?
        let clientCertificateData: String?
        let clientKey: String?
        let clientKeyData: String?
        let token: String?
        let tokenFile: String?
        let username: String?
        let password: String?
        let exec: Exec?
    }

    struct Exec: Decodable {
        let command: String
    }

    enum CodingKeys: String, CodingKey {
        case clusters, contexts, users
        case currentContext = "current-context"
    }

    let clusters: [Named<Cluster>]?
    let contexts: [Named<Context>]?
    let users: [Named<User>]?
    let currentContext: String?
}

extension Credentials {
    /// Those of the current context of a kubeconfig file.
    ///
    /// - Parameter master: overrides the cluster's URL
    package static func kubeconfig(
        path: String,
        master: String? = nil
    ) throws(ClientError) -> Credentials {
        let data: Data
        do {
            data = try Data(contentsOf: URL(filePath: path))
        } catch {
            throw .configuration("kubeconfig \(path) cannot be read; check the path and its mode")
        }
        let config: Kubeconfig
        do {
            config = try YAMLDecoder().decode(Kubeconfig.self, from: data)
        } catch let error as DecodingError {
            throw .configuration("kubeconfig \(path): \(error.shortDescription)")
        } catch {
            // Not the error's own text, which may quote a line with a secret.
            throw .configuration("kubeconfig \(path) is no valid YAML")
        }
        return try KubeconfigReader(config: config, path: path).credentials(master: master)
    }
}

private struct KubeconfigReader {
    let config: Kubeconfig
    let path: String

    func credentials(master: String?) throws(ClientError) -> Credentials {
        let contextName = config.currentContext ?? ""
        guard !contextName.isEmpty else { throw problem("has no current-context") }
        let context = try find(contextName, "context", config.contexts)
        let cluster = try find(context.cluster, "cluster", config.clusters)
        var credentials = Credentials(server: master ?? cluster.server)
        credentials.certificateAuthority = try material(
            cluster.certificateAuthority,
            cluster.certificateAuthorityData,
            "certificate-authority-data of cluster \(context.cluster)"
        )
        credentials.skipsVerification = cluster.insecureSkipTLSVerify ?? false
        credentials.serverName = cluster.tlsServerName
        credentials.proxy = cluster.proxyURL
        if let userName = context.user, !userName.isEmpty {
            try enter(try find(userName, "user", config.users), userName, &credentials)
        }
        return credentials
    }

    private func enter(
        _ user: Kubeconfig.User,
        _ name: String,
        _ credentials: inout Credentials
    ) throws(ClientError) {
        if let exec = user.exec {
            throw problem(
                "user \(name) runs the plugin \(exec.command), which needletail cannot do; give the"
                    + " user a token or a client certificate"
            )
        }
        credentials.clientCertificate = try material(
            user.clientCertificate,
            user.clientCertificateData,
            "client-certificate-data of user \(name)"
        )
        credentials.clientKey = try material(
            user.clientKey,
            user.clientKeyData,
            "client-key-data of user \(name)"
        )
        if let file = user.tokenFile, !file.isEmpty {
            credentials.token = .file(resolved(file))
        } else if let token = user.token, !token.isEmpty {
            credentials.token = .inline(Array(token.utf8))
        }
        credentials.username = user.username
        credentials.password = user.password
    }

    private func find<Value>(
        _ name: String,
        _ kind: String,
        _ list: [Kubeconfig.Named<Value>]?
    ) throws(ClientError) -> Value {
        guard let entry = list?.first(where: { $0.name == name }) else {
            throw problem("has no \(kind) named \"\(name)\"")
        }
        return entry.value
    }

    /// Inline data wins over a file, as in client-go.
    private func material(
        _ file: String?,
        _ base64: String?,
        _ field: String
    ) throws(ClientError) -> Credentials.Material? {
        if let base64, !base64.isEmpty {
            guard let data = Data(base64Encoded: base64) else {
                throw problem("\(field) is not base64")
            }
            return .inline(Array(data))
        }
        return file.flatMap { $0.isEmpty ? nil : .file(resolved($0)) }
    }

    /// Relative paths are relative to the kubeconfig.
    private func resolved(_ file: String) -> String {
        guard !file.hasPrefix("/"), let slash = path.lastIndex(of: "/") else { return file }
        return "\(path[...slash])\(file)"
    }

    private func problem(_ text: String) -> ClientError {
        .configuration("kubeconfig \(path) \(text)")
    }
}

extension DecodingError {
    /// Where and what, without the value, which may be a secret.
    fileprivate var shortDescription: String {
        let (context, what): (Context, String) =
            switch self {
            case .typeMismatch(let type, let context): (context, "is not a \(type)")
            case .valueNotFound(_, let context): (context, "has no value")
            case .keyNotFound(let key, let context): (context, "misses \(key.stringValue)")
            case .dataCorrupted(let context): (context, "is no valid YAML")
            @unknown default: (Context(codingPath: [], debugDescription: ""), "is malformed")
            }
        let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }
        return "\(path.joined(separator: ".")) \(what)"
    }
}
