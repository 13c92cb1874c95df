internal import ArgumentParser
internal import Configuration
internal import KubernetesClient

/// The options that name the source of the objects: manifests or an API server.
struct SourceOptions: ParsableArguments {
    @Option(help: "A file or directory of YAML or JSON manifests, instead of an API server.")
    var manifests: String?

    @Option(help: "The context of the kubeconfig (default: its current context).")
    var context: String?

    @Option(help: "The URL of the API server, instead of the kubeconfig's.")
    var master: String?

    func client(
        _ configuration: KubeProxyConfiguration,
        observer: (@Sendable (APIClient.RequestRecord) -> Void)? = nil
    ) throws -> APIClient {
        do throws(ClientError) {
            return APIClient(
                try credentials(configuration.clientConnection.kubeconfig),
                encoding: WireEncoding(rawValue: configuration.clientConnection.contentType)
                    ?? .protobuf,
                isOwnAddress: { (try? readInterfaceAddresses())?.contains($0) == true },
                observer: observer
            )
        } catch {
            throw Failure("\(error)")
        }
    }

    /// Returns the credentials for the API server: those of the kubeconfig, of `--master`, or of
    /// the environment.
    ///
    /// - Parameter kubeconfig: the paths that the configuration or `--kubeconfig` names, separated
    ///   by
    /// colons; may be empty
    func credentials(_ kubeconfig: String) throws(ClientError) -> Credentials {
        if !kubeconfig.isEmpty {
            return try .kubeconfig(paths: kubeconfig, context: context, master: master)
        }
        if let master {
            return Credentials(server: master.contains("://") ? master : "http://\(master)")
        }
        return try .discovered(context: context)
    }
}
