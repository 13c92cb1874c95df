internal import ArgumentParser
internal import Backend
internal import Configuration
internal import Glibc
internal import Netlink
internal import NetworkTypes
internal import Observability
internal import PlanCompiler
internal import Reconciler
internal import ServicePlan

struct Preflight: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say whether this node is ready for needletail, and what a start would change.",
        discussion: """
            Takes the flags and the configuration of `run`, and changes nothing: all rules and sets are \
            tried in a transaction that the kernel undoes. Says what kube-proxy has left, who holds the \
            ports, what other programs' rules would stop, and what the API server says.

            Exit status: 0 ready; 1 something must be done first, or failure; 3 ready, with warnings.
            """
    )

    @Option(name: .shortAndLong, help: "text, or json.")
    var output = TextOrJSON.text

    @OptionGroup var source: SourceOptions
    @OptionGroup var planning: PlanningOptions

    func run() async throws {
        let configuration = try planning.configuration(source)
        let findings = try await PreflightCheck(source, configuration).findings()
        switch output {
        case .text:
            let width = findings.map(\.subject.count).max() ?? 0
            for finding in findings { print(finding.line(width).printable) }
        case .json: print(jsonText(["findings": findings], pretty: true))
        }
        if findings.contains(where: { $0.level == .problem }) { throw ExitCode.failure }
        if findings.contains(where: { $0.level == .warning }) { throw ExitCode(3) }
    }
}

/// One thing that was looked at.
struct PreflightFinding: Encodable {
    enum Level: String, Encodable { case ok, warning, problem }

    let level: Level
    let subject: String
    let text: String

    init(_ level: Level, _ subject: String, _ text: String) {
        (self.level, self.subject, self.text) = (level, subject, text)
    }

    fileprivate func line(_ width: Int) -> String {
        let mark = level == .ok ? "ok     " : level == .warning ? "WARNING" : "PROBLEM"
        return "\(mark)  \(subject.padded(to: width))  \(text)"
    }
}

/// Looks at everything that a start depends on.
private struct PreflightCheck {
    let source: SourceOptions
    let configuration: KubeProxyConfiguration

    init(_ source: SourceOptions, _ configuration: KubeProxyConfiguration) {
        (self.source, self.configuration) = (source, configuration)
    }

    func findings() async throws -> [PreflightFinding] {
        var findings = [kernel(), connections()]
        let snapshot: Snapshot?
        do {
            let read = try await Snapshot(source, configuration)
            findings.append(api(read))
            snapshot = read
        } catch {
            findings.append(PreflightFinding(.problem, "API", "\(error)"))
            snapshot = nil
        }
        findings += ports()
        findings += await leftovers()
        if let snapshot { findings += await changes(snapshot) }
        return findings
    }

    // MARK: The kernel

    private func kernel() -> PreflightFinding {
        var name = utsname()
        uname(&name)
        let release = withUnsafeBytes(of: name.release) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        do throws(CommitError) {
            let families = try Mode.rehearse(configuration).map { "\($0)" }.joined(separator: ", ")
            let mode = configuration.proxyMode.rawValue
            return PreflightFinding(
                .ok,
                "kernel",
                "Linux \(release) takes all rules and sets of mode \(mode) (\(families))"
            )
        } catch {
            return PreflightFinding(.problem, "kernel", "Linux \(release): \(error)")
        }
    }

    private func connections() -> PreflightFinding {
        let path = "/proc/sys/net/netfilter/nf_conntrack_max"
        guard let limit = KernelSettings.read(path) else {
            return PreflightFinding(
                .warning,
                "conntrack",
                "\(path) cannot be read: the module nf_conntrack is loaded with the first rules"
            )
        }
        return PreflightFinding(.ok, "conntrack", "room for \(limit) connections")
    }

    // MARK: The API server

    private func api(_ snapshot: Snapshot) -> PreflightFinding {
        let count = snapshot.plans.count
        let warnings = snapshot.allDiagnostics
        let text =
            "\(snapshot.state.services.count) Services were read, \(count) of them are programmed"
        guard let first = warnings.first else { return PreflightFinding(.ok, "API", text) }
        let more = warnings.count > 1 ? ", and \(warnings.count - 1) more" : ""
        return PreflightFinding(.warning, "API", "\(text); \(first)\(more)")
    }

    // MARK: Other proxies

    private func ports() -> [PreflightFinding] {
        let listening = ListeningSockets.read()
        let wanted = [
            ("health", configuration.healthzAddress), ("metrics", configuration.metricsAddress),
        ]
        return wanted.map { name, address in
            guard let end = ListenAddress(address) else {
                return PreflightFinding(.ok, name, "no port is used")
            }
            let key = FrontendKey(end.address, .tcp, end.port)
            return listening.isTaken(key)
                ? PreflightFinding(
                    .problem,
                    name,
                    "another program listens on port \(end.port); stop kube-proxy first (docs/install)"
                ) : PreflightFinding(.ok, name, "port \(end.port) is free")
        }
    }

    private func leftovers() async -> [PreflightFinding] {
        do throws(CommitError) {
            let own = Set(try await Cleanup.remove(kubeProxy: false, dryRun: true))
            let found = try await Cleanup.remove(kubeProxy: true, dryRun: true)
                .filter { !own.contains($0) }
            var findings = [leftovers(found)]
            if !own.isEmpty {
                findings.append(
                    PreflightFinding(
                        .ok,
                        "needletail",
                        "has programmed this node before; a start goes on from there"
                    )
                )
            }
            return findings
        } catch {
            return [
                PreflightFinding(
                    .warning,
                    "kube-proxy",
                    "what it has left cannot be read: \(error)"
                )
            ]
        }
    }

    private func leftovers(_ found: [Difference]) -> PreflightFinding {
        guard let first = found.first else {
            return PreflightFinding(.ok, "kube-proxy", "has left nothing here")
        }
        let more = found.count > 1 ? " and \(found.count - 1) more" : ""
        let what = "has left \(first.object)\(more)"
        return configuration.needletail.takeover
            ? PreflightFinding(
                .ok,
                "kube-proxy",
                "\(what), which a start removes when its own rules work"
            )
            : PreflightFinding(
                .warning,
                "kube-proxy",
                "\(what), which stays: needletail.takeover is off"
            )
    }

    // MARK: What a start does

    private func changes(_ snapshot: Snapshot) async -> [PreflightFinding] {
        do {
            let backend = try Mode.open(configuration, DaemonLog.ofCommand)
            let differences = try await backend.difference(snapshot.plans, node: snapshot.facts)
            let text =
                differences.isEmpty
                ? "would change nothing"
                : "would make \(differences.count) changes (needletail diff)"
            let endpoints = snapshot.plans.flatMap(\.pools).flatMap(\.endpoints)
            let check = ForwardingCheck(
                facts: snapshot.facts,
                nodeAddresses: snapshot.view.primaryAddresses,
                localEndpoints: Set(endpoints.filter(\.isLocal).map(\.address)).sorted(),
                masqueradesAll: configuration.masqueradesAll
            )
            let (obstacles, unread) = await check.obstacles(backend)
            return [PreflightFinding(.ok, "start", text)]
                + obstacles.map { PreflightFinding(.warning, "forwarding", $0.text) }
                + unread.map {
                    PreflightFinding(.warning, "forwarding", "cannot be looked at: \($0)")
                }
                + (obstacles.isEmpty && unread.isEmpty
                    ? [PreflightFinding(.ok, "forwarding", "found nothing that would stop it")]
                    : [])
        } catch {
            return [PreflightFinding(.problem, "start", "\(error)")]
        }
    }
}
