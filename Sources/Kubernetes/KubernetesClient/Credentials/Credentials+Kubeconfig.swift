internal import FoundationEssentials

extension Credentials {
    /// Reads the credentials of a context from kubeconfig files.
    ///
    /// - Parameters: - paths: separated by colons, as in `KUBECONFIG`; the first file that defines
    ///   a name wins, and some of several files may be missing - context: the context to use
    ///   instead of the current one - master: overrides the cluster's URL
    package static func kubeconfig(
        paths: String,
        context: String? = nil,
        master: String? = nil
    ) throws(ClientError) -> Credentials {
        let files = paths.split(separator: ":").map(String.init)
        let present = files.filter {
            files.count == 1 || FileManager.default.fileExists(atPath: $0)
        }
        guard let first = present.first else {
            throw .configuration("kubeconfig \(paths): none of the files exists")
        }
        var config = try Kubeconfig(path: first)
        for file in present.dropFirst() { config.merge(try Kubeconfig(path: file)) }
        return try KubeconfigReader(config: config, paths: paths)
            .credentials(context: context, master: master)
    }

    /// Looks for credentials where client-go's tools do: in `KUBECONFIG`, the pod and the home
    /// directory.
    package static func discovered(
        context: String? = nil,
        _ environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(ClientError) -> Credentials {
        if let paths = environment["KUBECONFIG"], !paths.isEmpty {
            return try kubeconfig(paths: paths, context: context)
        }
        let home = "\(environment["HOME"] ?? "")/.kube/config"
        if environment["KUBERNETES_SERVICE_HOST"] == nil,
            FileManager.default.fileExists(atPath: home)
        {
            return try kubeconfig(paths: home, context: context)
        }
        return try inCluster(environment)
    }
}

/// Finds the cluster and the user of a context.
package struct KubeconfigReader {
    private let config: Kubeconfig
    /// The paths of the files, for error messages.
    private let paths: String

    package init(config: Kubeconfig, paths: String) { (self.config, self.paths) = (config, paths) }

    package func credentials(context: String?, master: String?) throws(ClientError) -> Credentials {
        let contextName = context ?? config.currentContext ?? ""
        guard !contextName.isEmpty else { throw problem("has no current-context") }
        let context = try find(contextName, config.contexts).value
        let cluster = try find(context.cluster, config.clusters)
        var credentials = Credentials(server: master ?? cluster.value.server)
        credentials.certificateAuthority = try material(
            cluster.value.certificateAuthority,
            cluster.value.certificateAuthorityData,
            cluster,
            "certificate-authority-data"
        )
        credentials.skipsVerification = cluster.value.insecureSkipTLSVerify ?? false
        credentials.serverName = cluster.value.tlsServerName
        credentials.proxy = cluster.value.proxyURL
        if let userName = context.user, !userName.isEmpty {
            let user = try find(userName, config.users)
            try enter(user, &credentials)
            credentials.plugin = try plugin(user, cluster.value)
        }
        guard !credentials.server.isEmpty else {
            throw problem("has no server in cluster \(cluster.name)")
        }
        credentials.completeServer()
        return credentials
    }

    private func enter(
        _ entry: Kubeconfig.Named<KubeconfigUser>,
        _ credentials: inout Credentials
    ) throws(ClientError) {
        let user = entry.value
        if let provider = user.authProvider {
            throw problem(
                "user \(entry.name) has the auth-provider \(provider.name ?? ""), which Kubernetes"
                    + " gave up; use an exec plugin"
            )
        }
        credentials.clientCertificate = try material(
            user.clientCertificate,
            user.clientCertificateData,
            entry,
            "client-certificate-data"
        )
        credentials.clientKey = try material(
            user.clientKey,
            user.clientKeyData,
            entry,
            "client-key-data"
        )
        if let file = user.tokenFile, !file.isEmpty {
            credentials.token = .file(resolved(file, in: entry.file))
        } else if let token = user.token, !token.isEmpty {
            credentials.token = .inline(Array(token.utf8))
        }
        credentials.username = user.username
        credentials.password = user.password
        if let name = user.impersonate {
            credentials.impersonation =
                [("Impersonate-User", name)]
                + (user.impersonateUID.map { [("Impersonate-Uid", $0)] } ?? [])
                + (user.impersonateGroups ?? []).map { ("Impersonate-Group", $0) }
        }
    }

    private func plugin(
        _ entry: Kubeconfig.Named<KubeconfigUser>,
        _ cluster: KubeconfigCluster
    ) throws(ClientError) -> ExecPlugin? {
        guard let exec = entry.value.exec else { return nil }
        guard let version = exec.apiVersion, ExecPlugin.apiVersions.contains(version) else {
            throw problem(
                "user \(entry.name): exec.apiVersion \(exec.apiVersion ?? "is missing"); it must be"
                    + " one of \(ExecPlugin.apiVersions.joined(separator: ", "))"
            )
        }
        guard exec.interactiveMode != "Always" else {
            throw problem(
                "user \(entry.name) runs the plugin \(exec.command), which needs a terminal"
            )
        }
        return ExecPlugin(
            apiVersion: version,
            command: exec.command.contains("/")
                ? resolved(exec.command, in: entry.file) : exec.command,
            arguments: exec.args ?? [],
            environment: Dictionary(
                (exec.env ?? []).map { ($0.name, $0.value) },
                uniquingKeysWith: { $1 }
            ),
            installHint: exec.installHint,
            cluster: exec.provideClusterInfo == true ? try clusterInfo(cluster) : nil
        )
    }

    /// The cluster as JSON, for `spec.cluster` of an ExecCredential.
    private func clusterInfo(_ cluster: KubeconfigCluster) throws(ClientError) -> String {
        struct Info: Encodable {
            let server: String
            let certificateAuthorityData: String?
            let insecureSkipTLSVerify: Bool?
            let tlsServerName: String?
            let proxyURL: String?

            enum CodingKeys: String, CodingKey {
                case server
                case certificateAuthorityData = "certificate-authority-data"
                case insecureSkipTLSVerify = "insecure-skip-tls-verify"
                case tlsServerName = "tls-server-name"
                case proxyURL = "proxy-url"
            }
        }
        let info = Info(
            server: cluster.server,
            certificateAuthorityData: cluster.certificateAuthorityData,
            insecureSkipTLSVerify: cluster.insecureSkipTLSVerify,
            tlsServerName: cluster.tlsServerName,
            proxyURL: cluster.proxyURL
        )
        guard let data = try? JSONEncoder().encode(info) else {
            throw problem("has a cluster that is no valid JSON")
        }
        return String(decoding: data, as: UTF8.self)
    }

    private func find<Value: KubeconfigEntry>(
        _ name: String,
        _ list: [Kubeconfig.Named<Value>]?
    ) throws(ClientError) -> Kubeconfig.Named<Value> {
        guard let entry = list?.first(where: { $0.name == name }) else {
            throw problem("has no \(Value.key) named \"\(name)\"")
        }
        return entry
    }

    /// Takes inline data or a file; inline data wins, as in client-go.
    private func material<Value: KubeconfigEntry>(
        _ file: String?,
        _ base64: String?,
        _ entry: Kubeconfig.Named<Value>,
        _ field: String
    ) throws(ClientError) -> Credentials.Material? {
        if let base64, !base64.isEmpty {
            guard let data = Data(base64Encoded: base64, options: .ignoreUnknownCharacters) else {
                throw problem("\(field) of \(Value.key) \(entry.name) is not base64")
            }
            return .inline(Array(data))
        }
        return file.flatMap { $0.isEmpty ? nil : .file(resolved($0, in: entry.file)) }
    }

    /// Makes a path absolute that is relative to the kubeconfig it stands in.
    private func resolved(_ file: String, in config: String) -> String {
        guard !file.hasPrefix("/"), let slash = config.lastIndex(of: "/") else { return file }
        return "\(config[...slash])\(file)"
    }

    private func problem(_ text: String) -> ClientError {
        .configuration("kubeconfig \(paths) \(text)")
    }
}
