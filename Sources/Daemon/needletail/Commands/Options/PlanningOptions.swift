internal import ArgumentParser
internal import Configuration
internal import Glibc

/// The options that decide how Services are programmed; the daemon and the commands that only read
/// share them.
struct PlanningOptions: ParsableArguments {
    @Option(
        help: """
            A KubeProxyConfiguration file, as in kube-proxy's ConfigMap. With it, kube-proxy's flags \
            are ignored, except --hostname-override and the flags of logging.
            """
    )
    var config: String?

    /// The flags of settings in the form `name=value`, to which `FlagGrammar` rewrites them.
    @Option(name: .customLong("setting"), parsing: .singleValue, help: .hidden)
    var settings: [String] = []

    // kube-proxy has the following flags; needletail accepts and ignores them.

    @Option(help: .hidden)
    var bootIDFile: String?

    @Option(help: .hidden)
    var machineIDFile: String?

    /// The grammar of the command line: the flags of settings and all other flags.
    static let grammar = FlagGrammar(
        others: [
            "once": .boolean, "dry-run": .boolean, "init-only": .boolean, "cleanup": .boolean,
            "help": .boolean, "version": .boolean, "config": .value, "write-config-to": .value,
            "manifests": .value, "context": .value, "master": .value, "boot-id-file": .value,
            "machine-id-file": .value, "output": .value, "from": .value, "at": .value,
            "count": .value, "for": .value, "buffer": .value, "top": .boolean,
            "address": .value,
        ],
        letters: ["v": "v", "o": "output"],
        aliases: ["mode": "proxy-mode"]
    )

    /// Returns the configuration that results from the flags and the file.
    func effective(_ source: SourceOptions) throws -> EffectiveConfiguration {
        let flags = try flags()
        if source.manifests != nil,
            flags.contains("kubeconfig") || source.master != nil || source.context != nil
        {
            throw Failure(
                "--manifests excludes --kubeconfig, --context and --master: the objects come either from"
                    + " files or from an API server",
                status: EX_USAGE
            )
        }
        return try EffectiveConfiguration(file: config, flags: flags)
    }

    func flags() throws -> GivenFlags {
        do throws(ConfigurationProblem) {
            return try GivenFlags(settings)
        } catch {
            throw Failure(usage: error)
        }
    }

    /// Returns the configuration for commands other than the daemon, and prints its notices as
    /// warnings.
    func configuration(_ source: SourceOptions) throws -> KubeProxyConfiguration {
        let effective = try effective(source)
        for notice in effective.notices { report("warning: \(notice)") }
        return effective.value
    }
}
