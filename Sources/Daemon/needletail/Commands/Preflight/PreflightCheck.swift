internal import Backend
internal import Configuration
internal import Glibc
internal import KubernetesClient
internal import Netlink
internal import NetworkTypes
internal import Observability
internal import PlanCompiler
internal import Reconciler
internal import ServicePlan

/// Looks at everything that a start depends on.
struct PreflightCheck {
    let source: SourceOptions
    let configuration: KubeProxyConfiguration

    func report() async -> PreflightReport {
        let proxy = await RunningProxy.find(configuration.metricsAddress)
        let cluster = await ClusterFacts(source, configuration)
        var report = PreflightReport()
        report.findings = [cluster.finding, kernel(), connections()] + networks()
        let snapshot: Snapshot?
        do {
            let read = try await Snapshot(source, configuration)
            report.findings += [api(read)] + cluster.addressFindings(read.facts.serviceCIDRs)
            snapshot = read
        } catch {
            report.findings.append(PreflightFinding(.problem, "API", "\(error)"))
            snapshot = nil
        }
        report.findings += ports(proxy)
        report.findings += await leftovers()
        if let snapshot { report.findings += await changes(snapshot) }
        if case .needletail = proxy { return report }
        report.next = cluster.nextCommands(configuration)
        return report
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

    // MARK: The pods' network

    private func networks() -> [PreflightFinding] {
        do throws(NetlinkError) {
            let found = PodNetwork.found(among: try Interfaces().all.map(\.name))
            guard !found.isEmpty else {
                return [PreflightFinding(.ok, "network", "no interface of a known network is here")]
            }
            return found.map { network in
                network.rivalry.map {
                    PreflightFinding(.warning, "network", "\(network.name) is here: \($0)")
                } ?? PreflightFinding(.ok, "network", "\(network.name) makes the pods' network")
            }
        } catch {
            return [PreflightFinding(.warning, "network", "interfaces cannot be read: \(error)")]
        }
    }

    // MARK: The API server

    private func api(_ snapshot: Snapshot) -> PreflightFinding {
        let count = snapshot.plans.count
        let warnings = snapshot.allDiagnostics
        let text =
            "\(snapshot.state.serviceCount) Services were read, \(count) of them are programmed"
        guard let first = warnings.first else { return PreflightFinding(.ok, "API", text) }
        let more = warnings.count > 1 ? ", and \(warnings.count - 1) more" : ""
        return PreflightFinding(.warning, "API", "\(text); \(first)\(more)")
    }

    // MARK: Other proxies

    private func ports(_ proxy: RunningProxy?) -> [PreflightFinding] {
        switch proxy {
        case .needletail:
            return [PreflightFinding(.ok, "proxy", "needletail runs here already")]
        case .kubeProxy(let mode):
            return [
                PreflightFinding(
                    .warning,
                    "proxy",
                    "kube-proxy runs here in mode \(mode), and holds the ports of health and metrics: stop"
                        + " it first"
                )
            ]
        case nil: break
        }
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
                    "another program listens on port \(end.port): stop it, or choose another port"
                ) : PreflightFinding(.ok, name, "port \(end.port) is free")
        }
    }

    private func leftovers() async -> [PreflightFinding] {
        do throws(CommitError) {
            let (own, others) = try await Self.programmed()
            let start = PreflightFinding(
                .ok,
                "needletail",
                "has programmed this node before; a start goes on from there"
            )
            return [leftovers(others)] + (own.isEmpty ? [] : [start])
        } catch {
            return [Self.unreadable(error)]
        }
    }

    /// Returns what needletail has programmed here, and what kube-proxy has left.
    static func programmed() async throws(CommitError) -> (own: [Difference], others: [Difference])
    {
        let own = try await Cleanup.remove(kubeProxy: false, dryRun: true)
        let known = Set(own)
        let all = try await Cleanup.remove(kubeProxy: true, dryRun: true)
        return (own, all.filter { !known.contains($0) })
    }

    static let nothingLeft = PreflightFinding(.ok, "kube-proxy", "has left nothing here")

    static func unreadable(_ error: CommitError) -> PreflightFinding {
        PreflightFinding(.warning, "kube-proxy", "what it has left cannot be read: \(error)")
    }

    /// The first one and how many there are.
    static func summary(_ found: [Difference]) -> String? {
        guard let first = found.first else { return nil }
        return found.count > 1 ? "\(first.object) and \(found.count - 1) more" : first.object
    }

    private func leftovers(_ found: [Difference]) -> PreflightFinding {
        guard let left = Self.summary(found) else { return Self.nothingLeft }
        let what = "has left \(left)"
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
