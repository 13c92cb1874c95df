import BinarySupport
import FoundationEssentials
import NetworkNamespaces
import TestSupport
import Testing

/// Compares messages about flags, files and settings with `Tests/Fixtures/messages.txt`.
///
/// The file contains each input with its answer. `make golden` writes the current answers and
/// fails, so that a reviewer reads the difference with the eyes of an operator who has that problem
/// at three in the morning.
@Suite struct MessageGoldenTests {
    private let namespace: NetworkNamespace
    private let folder: Folder

    init() throws {
        namespace = try NetworkNamespace()
        folder = try Folder()
    }

    private static let commandLines: [[String]] = [
        ["run", "--oom-score-adj", "low"], ["run", "--oom-score-adj=1001"],
        ["run", "--oom-score-adj="], ["run", "--takeover", "false"], ["run", "--takeover=maybe"],
        ["run", "--once=maybe"], ["run", "--cluster-cidr"], ["run", "--clustr-cidr=10.0.0.0/8"],
        ["run", "--no-such-flag"], ["run", "--feature-gates=A"],
        ["run", "--feature-gates=A=maybe"],
        ["run", "--config-sync-period=30"], ["run", "--config-sync-period=0s"],
        ["run", "--healthz-port=70000"], ["run", "--healthz-bind-address=localhost:80"],
        ["run", "--cluster-cidr=10.0.0.0"], ["run", "--cluster-cidr=10.0.0.0/8,10.1.0.0/16"],
        ["run", "--detect-local-mode=BridgeInterface"], ["run", "--detect-local-mode=Magic"],
        [
            "run", "--detect-local-mode=InterfaceNamePrefix",
            "--pod-interface-name-prefix=averyverylongname",
        ],
        ["run", "--proxy-mode=userspace"], ["run", "--ipvs-scheduler=magic"],
        ["run", "--ipvs-exclude-cidrs=here"], ["run", "--node-ip=here"],
        ["run", "--bind-address=here"],
        ["run", "--logging-format=xml"], ["run", "--kube-api-content-type=text/plain"],
        ["run", "--iptables-masquerade-bit=32"], ["run", "--conntrack-min=-1"],
        ["run", "--ipvs-min-sync-period=1h"], ["run", "--ipvs-drain-timeout=-1s"],
        ["run", "--service-metrics=20000"], ["run", "--endpoints-source=dns"],
        ["run", "--hostname-override= "], ["run", "--config=/nonexistent/config.conf"],
        ["run", "--config=DIR"], ["run", "--manifests=DIR", "--kubeconfig=/etc/kubeconfig"],
        ["run", "--once", "--manifests=/nonexistent"],
        ["run", "--once", "--manifests=DIR/empty.yaml"],
        ["render", "--manifests=DIR/empty.yaml"], ["run", "--write-config-to=/nonexistent/file"],
        ["run", "--write-config-to=DIR"], ["run", "--write-config-to=DIR/link"],
        [
            "run", "--write-config-to=DIR/out", "--config=DIR/good.conf",
            "--cluster-cidr=10.0.0.0/8", "--healthz-port=1",
        ],
        [
            "run", "--write-config-to=DIR/out", "--proxy-mode=iptables", "--feature-gates=A=T,B=f",
            "--iptables-localhost-nodeports=false", "--iptables-sync-period=1m",
        ],
    ]

    private static let head = """
        apiVersion: kubeproxy.config.k8s.io/v1alpha1
        kind: KubeProxyConfiguration

        """

    private static let files: [String] = [
        "", "[]", "kind: KubeProxyConfiguration", "apiVersion: v1\nkind: ConfigMap",
        "apiVersion: kubeproxy.config.k8s.io/v1\nkind: KubeProxyConfiguration", head + "mode: [",
        head + "\tmode: ipvs", head + "mode: \u{1}", head + "noSuchField: 1\nconntrack: {max: 5}",
        head + "mode: ipvs\nmode: nftables", "\u{FEFF}" + head, head + "---\na: b",
        head + "? [a]\n: 1\n? [a]\n: 2", head + "oomScoreAdj: low", head + "ipvs: {syncPeriod: 30}",
        head + "ipvs: 30", head + "featureGates: [A]", head + "featureGates: {A: true, B: maybe}",
        head + "nodePortAddresses: 10.0.0.0/8", head + "nodePortAddresses: [10.0.0.0/8, [a]]",
        head + "bindAddressHardFail: maybe", head + "clusterCIDR: [10.0.0.0/8]",
        head + "mode: \"a\\nb\\e[31m\"\n\"c\\nd\": 1", head + "metricsBindAddress: here",
        head + "winkernel: {enableDSR: true}\nportRange: 1-2",
    ]

    @Test func `messages are what was reviewed`() throws {
        try folder.write("# nothing yet\n---\n", to: "empty.yaml")
        try folder.write(Self.head, to: "good.conf")
        try namespace.run(["ln", "-s", "/etc/passwd", "\(folder.path)/link"])
        var text = ""
        for arguments in Self.commandLines { text += try answer(arguments) }
        for file in Self.files {
            try folder.write(file, to: "config.conf")
            let arguments = ["run", "--config=DIR/config.conf", "--write-config-to=DIR/out"]
            let body = file.replacing(Self.head, with: "HEAD ")
            let shown = body.replacing("\n", with: "⏎").replacing("\t", with: "⇥")
                .replacing("\u{FEFF}", with: "BOM ").replacing("\u{1}", with: "^A")
            text += try answer(arguments, "config.conf: \(shown)")
        }
        try compare(text)
    }

    private func answer(_ arguments: [String], _ title: String? = nil) throws -> String {
        let real = arguments.map { $0.replacing("DIR", with: folder.path) }
        let result = try Binary.run(real, in: namespace)
        let lines = result.output.replacing(folder.path, with: "DIR").split(separator: "\n")
        let shown = lines.filter { !$0.hasPrefix("Usage: ") }
            .map { "    \(Self.withoutTime($0))\n" }.joined()
        return "\(title ?? arguments.joined(separator: " ")) = \(result.status)\n\(shown)"
    }

    /// Removes the time from the beginning of a log line.
    private static func withoutTime(_ line: Substring) -> Substring {
        let words = line.split(separator: " ", maxSplits: 1)
        guard words.count == 2, words[0].hasPrefix("20"), words[0].hasSuffix("Z") else {
            return line
        }
        return words[1]
    }

    private func compare(_ text: String) throws {
        let path = "Fixtures/messages.txt"
        let recorded = (try? Fixture.text(path)) ?? ""
        if recorded == text { return }
        if ProcessInfo.processInfo.environment["NEEDLETAIL_RECORD"] != nil {
            try Data(text.utf8).write(to: URL(filePath: "\(Fixture.root)/\(path)"))
        }
        let difference = text.split(separator: "\n").difference(
            from: recorded.split(separator: "\n")
        )
        Issue.record("\(path) is not what is told: \(difference.prefix(10))")
    }
}
