internal import Backend
internal import Configuration
internal import KubernetesModel
internal import NetworkTypes
internal import Observability
internal import PlanCompiler
internal import Reconciler
internal import ServicePlan

/// Proves that this node's Services are needletail's, and work.
struct SwitchProof {
    let source: SourceOptions
    let configuration: KubeProxyConfiguration

    func report() async -> PreflightReport {
        var report = PreflightReport()
        report.findings = await [daemon(), leftovers()]
        do {
            let snapshot = try await Snapshot(source, configuration)
            let explainer = Explainer(
                snapshot: snapshot,
                configuration: try configuration.nodeConfiguration(),
                backend: Result { () throws(CommitError) in
                    try Mode.open(configuration, DaemonLog.ofCommand)
                }
            )
            report.findings += await [kernel(explainer)] + packets(explainer)
        } catch {
            report.findings.append(PreflightFinding(.problem, "API", "\(error)"))
        }
        return report
    }

    private func daemon() async -> PreflightFinding {
        switch await RunningProxy.find(configuration.metricsAddress) {
        case .needletail(let status):
            return status.ready
                ? PreflightFinding(.ok, "daemon", "needletail \(status.version) is ready")
                : PreflightFinding(
                    .problem,
                    "daemon",
                    "needletail runs, but is not ready: needletail status"
                )
        case .kubeProxy(let mode):
            return PreflightFinding(
                .problem,
                "daemon",
                "kube-proxy still runs here, in mode \(mode)"
            )
        case nil:
            return PreflightFinding(
                .problem,
                "daemon",
                "no proxy answers at \(configuration.metricsAddress)"
            )
        }
    }

    private func leftovers() async -> PreflightFinding {
        do throws(CommitError) {
            guard let left = PreflightCheck.summary(try await PreflightCheck.programmed().others)
            else { return PreflightCheck.nothingLeft }
            return PreflightFinding(
                .warning,
                "kube-proxy",
                "\(left) is still here: restart needletail, which removes it when it starts"
            )
        } catch {
            return PreflightCheck.unreadable(error)
        }
    }

    private func kernel(_ explainer: Explainer) async -> PreflightFinding {
        let snapshot = explainer.snapshot
        do throws(CommitError) {
            let differences = try await explainer.backend.get()
                .difference(snapshot.plans, node: snapshot.facts)
            guard let missing = PreflightCheck.summary(differences) else {
                return PreflightFinding(
                    .ok,
                    "kernel",
                    "holds what the API wants of \(snapshot.plans.count) Services"
                )
            }
            return PreflightFinding(
                .problem,
                "kernel",
                "does not hold what the API wants: \(missing) (needletail diff)"
            )
        } catch {
            return PreflightFinding(.problem, "kernel", "cannot be read: \(error)")
        }
    }

    /// The Services that every cluster has.
    private static let services = [
        ClusterState.apiService, ObjectName(namespace: "kube-system", name: "kube-dns"),
    ]

    private func packets(_ explainer: Explainer) async -> [PreflightFinding] {
        var findings: [PreflightFinding] = []
        do {
            let known = Set(explainer.snapshot.plans.map(\.service))
            for service in Self.services where known.contains("\(service)") {
                let wanted = Wanted.service("\(service)")
                let document = try await explainer.explain(wanted, from: nil)
                for sent in await explainer.verifications(document, wanted).map(Verified.init) {
                    findings.append(finding(sent, document.kernel.agrees, of: "\(service)"))
                }
            }
        } catch {
            findings.append(PreflightFinding(.problem, "packets", "\(error)"))
        }
        return findings.isEmpty
            ? [
                PreflightFinding(
                    .warning,
                    "packets",
                    "there is no Service to which one could be sent"
                )
            ]
            : findings
    }

    /// - Parameter agrees: whether the rules, evaluated, do what the API wants
    private func finding(
        _ sent: Verified,
        _ agrees: Bool?,
        of service: String
    ) -> PreflightFinding {
        let fate = [sent.what ?? "not seen", sent.to].compactMap(\.self).joined(separator: " to ")
        let text = "\(service) \(sent.frontend): \(fate)"
        switch (sent.agrees, agrees) {
        case (true, true): return PreflightFinding(.ok, "packet", "\(text), as it should")
        case (false, _), (_, false):
            return PreflightFinding(
                .problem,
                "packet",
                "\(text), which is not what it should (needletail explain \(service) --verify)"
            )
        case (nil, _), (_, nil):
            let reason = sent.reason ?? "nobody can tell whether it should"
            return PreflightFinding(.warning, "packet", "\(text): \(reason)")
        }
    }
}
