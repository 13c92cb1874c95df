internal import ArgumentParser
internal import Configuration
internal import Glibc

/// What decides how Services are programmed: the same for the daemon and for the commands that look.
struct PlanningOptions: ParsableArguments {
    @Option(
        help: """
            A KubeProxyConfiguration file, as kube-proxy's ConfigMap has it. kube-proxy's flags are \
            ignored then, but for --hostname-override and those of logging.
            """
    )
    var config: String?

    /// As `name=value`, which `FlagGrammar` makes of the flags of settings.
    @Option(name: .customLong("setting"), parsing: .singleValue, help: .hidden)
    var settings: [String] = []

    // kube-proxy has them, and nothing here needs them.

    @Option(help: .hidden)
    var bootIDFile: String?

    @Option(help: .hidden)
    var machineIDFile: String?

    /// The flags that `FlagGrammar` is to know beside those of settings.
    static let grammar = FlagGrammar(
        others: [
            "once": .boolean, "dry-run": .boolean, "init-only": .boolean, "cleanup": .boolean,
            "help": .boolean, "version": .boolean, "config": .value, "write-config-to": .value,
            "manifests": .value, "context": .value, "master": .value, "boot-id-file": .value,
            "machine-id-file": .value, "output": .value, "from": .value,
        ],
        letters: ["v": "v", "o": "output"],
        aliases: ["mode": "proxy-mode"]
    )

    /// What flags and file say together.
    func effective(_ source: SourceOptions) throws -> EffectiveConfiguration {
        let flags = try flags()
        if source.manifests != nil,
            flags.contains("kubeconfig") || source.master != nil || source.context != nil
        {
            throw Failure(
                "--manifests goes without --kubeconfig, --context and --master: the objects come from"
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

    /// For the commands that do not stay: says at once what is odd.
    func configuration(_ source: SourceOptions) throws -> KubeProxyConfiguration {
        let effective = try effective(source)
        for notice in effective.notices { report("warning: \(notice)") }
        return effective.value
    }
}
