internal import ArgumentParser
internal import Configuration
internal import Observability

/// Prints what docs/flags.md and docs/metrics.md hold, so that they cannot differ from the program.
struct Reference: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print a reference page of the documentation.",
        shouldDisplay: false
    )

    enum Page: String, ExpressibleByArgument, CaseIterable { case flags, metrics }

    @Argument var page: Page

    func run() {
        switch page {
        case .flags: print(Self.flags.joined(separator: "\n"))
        case .metrics: print(Self.metrics.joined(separator: "\n"))
        }
    }

    private static var flags: [String] {
        let intro = """
            # Flags and the configuration file

            Made by `make docs` from the program. `needletail run` takes kube-proxy's flags under their names, or with `--config` kube-proxy's file,
            `KubeProxyConfiguration` of `kubeproxy.config.k8s.io/v1alpha1`, and its own section `needletail` in it. `render`, `diff` and `explain` take the
            same flags.

            Flags are read as kube-proxy reads them: `--name=value`, `--name value`, `--name=` (empty), `--name` and `--name=false` of a boolean, `-v4`, an
            underscore for a hyphen. Of a flag that is given twice the last one counts; lists and maps accumulate. Booleans and numbers are Go's (`T`, `0x10`).

            With `--config` kube-proxy's flags are ignored, as kube-proxy does, and the log says which; `--hostname-override`, those of logging and
            needletail's own (`--node-ip`, `--ipvs-drain-timeout`, `--endpoints-source`, `--takeover`, `--service-metrics`,
            `--node-addresses-as-external-ips`) apply over the file. Values of another
            kind and values that cannot be used are errors that name the field; a flag that cannot be read ends the program with status 64. As in kube-proxy,
            unknown fields, equal keys (the last one counts), a byte order mark and a second document (it is not read) are warnings. `mode: iptables` runs as
            nftables. The file is watched: "live" fields apply at once, others are named in the log as needing a restart, and a bad file changes nothing.
            `--write-config-to FILE` writes what is in force to a new file; it follows no link.

            ## Fields

            | field | flag | default | live | meaning |
            |---|---|---|---|---|
            """
        let rows = Setting.all.map { setting in
            let flag = setting.flag.map { "`--\($0)`" } ?? ""
            let live = setting.isLive ? "yes" : ""
            return
                "| `\(setting.path)` | \(flag) | `\(setting.defaultText)` | \(live) | \(setting.help) |"
        }
        let help = [
            "", "## needletail run", "", "```", Needletail.helpMessage(for: Run.self, columns: 110),
            "", Needletail.flagHelp, "```",
        ]
        return [intro] + rows + help
    }

    private static var metrics: [String] {
        let intro = """
            # Metrics

            Made by `make docs` from the program. Served at `/metrics` of `--metrics-bind-address`, as Prometheus text, or as OpenMetrics to clients that
            take it. Those named `kubeproxy_` are kube-proxy's, with its labels and buckets; a sync serves both IP families, so both show the same.
            kube-proxy's metrics of mode iptables (`…_iptables_…`) count what is not here, and `go_…` belong to its language.
            `manifests/monitoring` has a dashboard and alert rules.

            | name | type | labels | meaning |
            |---|---|---|---|
            """
        return [intro]
            + ProxyMetrics(version: "", mode: "").all.map { family in
                let labels = family.labels.map { "`\($0)`" }.joined(separator: ", ")
                return "| `\(family.name)` | \(family.kind) | \(labels) | \(family.help) |"
            }
    }
}
