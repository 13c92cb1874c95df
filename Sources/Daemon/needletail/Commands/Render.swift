internal import ArgumentParser
internal import KubernetesModel
internal import ManifestSource
internal import NetworkTypes
internal import Observability
internal import ServicePlan

struct Render: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print what would be programmed; needs no kernel and no privileges.",
        discussion: """
            Reads manifests, the API, or standard input:

              kubectl get svc,endpointslices -A -o json | needletail render -
            """
    )

    enum Format: String, ExpressibleByArgument, CaseIterable { case nft, ipvs, json, plan }

    @Option(
        name: .shortAndLong,
        help: "nft (for nft -f), ipvs (for ipvsadm -R), json or plan (the plan in either form)."
    )
    var output = Format.nft

    @OptionGroup var source: SourceOptions
    @OptionGroup var planning: PlanningOptions

    @Argument(help: "\"-\": read objects from standard input.")
    var input: String?

    func run() async throws {
        let configuration = try planning.configuration(source)
        let snapshot = try await Snapshot(source, configuration, objects: try objects())
        for diagnostic in snapshot.allDiagnostics { report("warning: \(diagnostic)") }
        switch output {
        case .nft: print(Mode.nftText(snapshot, configuration), terminator: "")
        case .ipvs: for line in Mode.ipvsLines(snapshot, configuration) { print(line) }
        case .plan: for plan in snapshot.plans { print(plan.text) }
        case .json:
            let plans = snapshot.plans.map(PlanDocument.init)
            print(jsonText(["services": plans], pretty: true))
        }
    }

    /// Returns the objects from standard input; nil if it is not to be read.
    private func objects() throws -> [KubernetesObject]? {
        guard let input else { return nil }
        guard input == "-" else {
            throw ValidationError(
                "\"\(input)\": only \"-\" is accepted here; give files with --manifests"
            )
        }
        var text = ""
        while let line = readLine(strippingNewline: false) { text += line }
        do {
            return try ManifestReader(file: "standard input").objects(in: text)
        } catch {
            throw Failure("\(error)")
        }
    }
}

/// A plan as JSON, with the same words as the plan's text.
private struct PlanDocument: Encodable {
    struct Frontend: Encodable {
        let address: String
        let port: UInt16
        let `protocol`: String
        let kind: String
        let portName: String
        let action: String
        let endpoints: [String]?
        let localEndpoints: [String]?
        let masquerade: String
        let affinitySeconds: UInt32?
        let allowedSources: [String]?
    }

    struct HealthCheck: Encodable {
        let port: UInt16
        let localEndpoints: Int
    }

    let service: String
    let healthCheck: HealthCheck?
    let frontends: [Frontend]

    init(_ plan: ServicePlan) {
        service = plan.service
        healthCheck = plan.healthCheck.map {
            HealthCheck(port: $0.port, localEndpoints: $0.localEndpoints)
        }
        frontends = plan.frontends.map { frontend in
            let pools = plan.pools(of: frontend)
            let action =
                switch frontend.action {
                case .balance: "balance"
                case .split: "split"
                case .reject: "reject"
                case .drop: "drop"
                }
            return Frontend(
                address: frontend.key.address.description,
                port: frontend.key.port,
                protocol: frontend.key.transport.description,
                kind: frontend.kind.name,
                portName: frontend.portName,
                action: action,
                endpoints: pools.cluster?.endpoints.map(\.description),
                localEndpoints: pools.local?.endpoints.map(\.description),
                masquerade: frontend.masquerade.name,
                affinitySeconds: frontend.affinityTimeout,
                allowedSources: frontend.allowedSources?.map(\.description)
            )
        }
    }
}
