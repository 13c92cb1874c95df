internal import ArgumentParser
internal import Configuration
internal import KubernetesClient

/// Where the objects come from.
struct SourceOptions: ParsableArguments {
    @Option(help: "A file or directory of YAML or JSON manifests, instead of an API server.")
    var manifests: String?

    @Option(help: "The kubeconfig's context; default: its current one.")
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
                observer: observer
            )
        } catch {
            throw Failure("\(error)")
        }
    }

    /// - Parameter kubeconfig: the files that the configuration or `--kubeconfig` names
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
