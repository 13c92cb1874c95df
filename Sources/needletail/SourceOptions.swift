internal import ArgumentParser
internal import ClusterStore
internal import KubernetesClient

/// Where the objects come from.
struct SourceOptions: ParsableArguments {
    @Option(help: "A file or directory of YAML or JSON manifests, instead of an API server.")
    var manifests: String?

    @Option(
        help: """
            Kubeconfig files, separated by colons; default: $KUBECONFIG, the credentials of the \
            pod, ~/.kube/config.
            """
    )
    var kubeconfig: String?

    @Option(help: "The kubeconfig's context; default: its current one.")
    var context: String?

    @Option(help: "The URL of the API server, instead of the kubeconfig's.")
    var master: String?

    @Option(
        help: """
            What to ask the API server for: application/vnd.kubernetes.protobuf or \
            application/json.
            """
    )
    var kubeAPIContentType = WireEncoding.protobuf

    @Option(
        help: "What names the endpoints of Services: endpointslices, or the older endpoints."
    )
    var endpointsSource = EndpointsSource.endpointSlices

    func validate() throws {
        if manifests != nil, kubeconfig != nil || master != nil || context != nil {
            throw ValidationError(
                "--manifests goes without --kubeconfig, --context and --master"
            )
        }
    }

    func client() throws -> APIClient {
        do throws(ClientError) {
            return APIClient(try credentials(), encoding: kubeAPIContentType)
        } catch {
            throw Failure("\(error)")
        }
    }

    private func credentials() throws(ClientError) -> Credentials {
        if let kubeconfig {
            return try .kubeconfig(paths: kubeconfig, context: context, master: master)
        }
        if let master { return Credentials(server: master) }
        return try .discovered(context: context)
    }
}

extension WireEncoding: ExpressibleByArgument {}
extension EndpointsSource: ExpressibleByArgument {}
