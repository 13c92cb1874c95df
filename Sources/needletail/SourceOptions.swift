internal import ArgumentParser

/// Where the objects come from.
struct SourceOptions: ParsableArguments {
    @Option(help: "A file or directory of YAML or JSON manifests, instead of an API server.")
    var manifests: String?

    @Option(help: "A kubeconfig file; default: the credentials of the pod (in-cluster).")
    var kubeconfig: String?

    @Option(help: "The URL of the API server, instead of the kubeconfig's.")
    var master: String?

    func validate() throws {
        if manifests != nil, kubeconfig != nil || master != nil {
            throw ValidationError("--manifests goes without --kubeconfig and --master")
        }
    }
}
