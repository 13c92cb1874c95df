internal import ArgumentParser
internal import Configuration
internal import Observability

/// Prints the pages docs/flags.md and docs/metrics.md, so that they always match the program.
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

            `make reference` generates this page from the program. `needletail run` accepts kube-proxy's flags under their own names. With `--config` it reads
            kube-proxy's file, a `KubeProxyConfiguration` of `kubeproxy.config.k8s.io/v1alpha1`, which may have an additional section `needletail`.
            `render`, `diff`, `explain` and `watch` take the same flags.

            Flags have kube-proxy's syntax: `--name=value`, `--name value`, `--name=` (empty), `--name` and `--name=false` for booleans, `-v4`, and
            underscores instead of hyphens. If a flag is given twice, the last value counts; lists and maps accumulate. Booleans and numbers are written as in
            Go (`T`, `0x10`).

            With `--config`, kube-proxy's flags are ignored, as in kube-proxy, and the log names them. These flags override the file:
            `--hostname-override`, the flags of logging, and needletail's own (`--node-ip`, `--ipvs-drain-timeout`, `--endpoints-source`, `--takeover`,
            `--service-metrics`, `--namespace-warnings`, `--node-addresses-as-external-ips`).

            A value of the wrong type, or one that cannot be used, is an error that names the field. A flag that cannot be read ends the program with status 64.
            As in kube-proxy, these are only warnings: unknown fields, duplicate keys (the last one counts), a byte order mark, and a second document (it is not
            read). `mode: iptables` runs as nftables.

            The file is watched. Changes of fields marked "live" apply at once; for others the log says that they need a restart. A file with an error changes
            nothing. `--write-config-to FILE` writes the effective configuration to a new file and never writes through a link.

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

            `make reference` generates this page from the program. The metrics are served at `/metrics` of `--metrics-bind-address`, as Prometheus text or, for
            clients that accept it, as OpenMetrics. Metrics named `kubeproxy_` are kube-proxy's, with the same labels and buckets. One sync handles both IP
            families, so metrics of syncs show the same values for both. Two groups of kube-proxy's metrics do not exist here: those of mode iptables
            (`…_iptables_…`), which have no meaning here, and `go_…`, which describe the Go runtime. `manifests/monitoring` has a dashboard and alert rules.

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
