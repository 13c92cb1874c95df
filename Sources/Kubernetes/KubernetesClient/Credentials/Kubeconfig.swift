package import FoundationEssentials
internal import YAML

/// The parts of a kubeconfig that a client needs (`client-go/tools/clientcmd/api/v1`).
///
/// It is read from one file, or merged from several.
package struct Kubeconfig: Decodable {
    /// A named entry of one of the lists; each kind of entry has its own key for the value.
    struct Named<Value: KubeconfigEntry>: Decodable {
        let name: String
        let value: Value
        /// The file that contains the entry; paths in the entry are relative to it.
        var file = ""

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Key.self)
            name = try container.decode(String.self, forKey: Key("name"))
            value = try container.decode(Value.self, forKey: Key(Value.key))
        }
    }

    struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(_ name: String) { stringValue = name }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    enum CodingKeys: String, CodingKey {
        case clusters, contexts, users
        case currentContext = "current-context"
    }

    var clusters: [Named<KubeconfigCluster>]?
    var contexts: [Named<KubeconfigContext>]?
    var users: [Named<KubeconfigUser>]?
    var currentContext: String?

    /// Reads one file.
    init(path: String) throws(ClientError) {
        let data: Data
        do {
            data = try Data(contentsOf: URL(filePath: path))
        } catch {
            throw .configuration("kubeconfig \(path) cannot be read; check the path and its mode")
        }
        try self.init(data, path: path)
    }

    package init(_ data: Data, path: String) throws(ClientError) {
        let root: YAMLNode?
        do throws(YAMLError) {
            root = try YAMLReader.firstDocument(in: String(decoding: data, as: UTF8.self)).root
        } catch {
            throw .configuration("kubeconfig \(path) is no valid YAML: \(error)")
        }
        guard let root, !root.isNull else { throw .configuration("kubeconfig \(path) is empty") }
        do {
            self = try YAMLDecoder().decode(Kubeconfig.self, from: root)
        } catch let error as DecodingError {
            throw .configuration("kubeconfig \(path): \(error.shortDescription)")
        } catch {
            throw .configuration("kubeconfig \(path) cannot be read")
        }
        for index in (clusters ?? []).indices { clusters?[index].file = path }
        for index in (users ?? []).indices { users?[index].file = path }
    }

    /// Adds what another file defines; names that are already defined here win.
    mutating func merge(_ other: Kubeconfig) {
        if currentContext ?? "" == "" { currentContext = other.currentContext }
        clusters = Self.merged(clusters, other.clusters)
        contexts = Self.merged(contexts, other.contexts)
        users = Self.merged(users, other.users)
    }

    private static func merged<Value>(
        _ first: [Named<Value>]?,
        _ second: [Named<Value>]?
    ) -> [Named<Value>] {
        let names = Set((first ?? []).map(\.name))
        return (first ?? []) + (second ?? []).filter { !names.contains($0.name) }
    }
}

protocol KubeconfigEntry: Decodable {
    static var key: String { get }
}

struct KubeconfigContext: KubeconfigEntry {
    static let key = "context"
    let cluster: String
    let user: String?
}

struct KubeconfigCluster: KubeconfigEntry {
    static let key = "cluster"

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

struct KubeconfigUser: KubeconfigEntry {
    static let key = "user"

    enum CodingKeys: String, CodingKey {
        case clientCertificate = "client-certificate"
        case clientCertificateData = "client-certificate-data"
        case clientKey = "client-key"
        case clientKeyData = "client-key-data"
        case token, tokenFile, username, password, exec
        case impersonate = "as"
        case impersonateUID = "as-uid"
        case impersonateGroups = "as-groups"
        case authProvider = "auth-provider"
    }

    struct Exec: Decodable {
        struct Variable: Decodable {
            let name: String
            let value: String
        }
        let apiVersion: String?
        let command: String
        let args: [String]?
        let env: [Variable]?
        let installHint: String?
        let provideClusterInfo: Bool?
        let interactiveMode: String?
    }

    struct AuthProvider: Decodable {
        let name: String?
    }

    let clientCertificate: String?
    let clientCertificateData: String?
    let clientKey: String?
    let clientKeyData: String?
    let token: String?
    let tokenFile: String?
    let username: String?
    let password: String?
    let impersonate: String?
    let impersonateUID: String?
    let impersonateGroups: [String]?
    let exec: Exec?
    let authProvider: AuthProvider?
}

extension DecodingError {
    /// The path of the field and the fault, without the value, which may be secret.
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
