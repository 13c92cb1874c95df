internal import Backend
internal import KubernetesModel
internal import NetworkTypes
internal import PlanCompiler
internal import ServicePlan

/// Asking what the kernel does.
extension Explainer {
    /// The packets to evaluate for a frontend.
    func checks(
        _ frontend: Frontend,
        of plan: ServicePlan,
        _ source: (client: ConnectionSource, kind: FlowExplanation.Client)?,
        wanted: (FlowExplanation.Client, [IPPrefix]) -> FlowExplanation
    ) -> [FlowCheck] {
        let kinds = source.map { [$0.kind] } ?? Self.kinds
        var unsafePlaces: [AddressAndPort: String] = [:]
        for endpoint in Set(plan.pools.flatMap(\.endpoints)) {
            unsafePlaces[endpoint.place] = clients.danger(to: endpoint)
        }
        return kinds.compactMap { kind in
            let place =
                source.map { clients.place(of: $0.client.address, kind) }
                ?? clients.place(of: kind, for: frontend, of: plan)
            guard let place else { return nil }
            let isInBlock =
                snapshot.facts.localDetection(place.address.family) == .podCIDRs
                && snapshot.facts.podCIDRs.contains { $0.contains(place.address) }
            return FlowCheck(
                frontend: frontend,
                plan: plan,
                kind: kind,
                packet: FirstPacket(
                    from: place.address,
                    source?.client.port ?? ClientChoice.port,
                    to: frontend.key,
                    by: place.interface
                ),
                wanted: wanted(kind, [IPPrefix(host: place.address)]),
                looksLikePod: kind == .node && isInBlock,
                ownAddresses: clients.ownAddresses,
                unsafePlaces: unsafePlaces
            )
        }
    }

    static let kinds: [FlowExplanation.Client] = [.pod, .node, .outside]

    /// Evaluates the packets, and enters the answers into the frontends.
    func evaluate(
        _ checks: [FlowCheck],
        _ frontends: inout [Explanation.Frontend]
    ) async throws(CommitError) {
        let evaluations = try await backend.get().evaluate(checks.map(\.packet))
        for (check, evaluation) in zip(checks, evaluations) {
            guard let index = frontends.firstIndex(where: { $0.key == check.frontend.key }) else {
                continue
            }
            frontends[index].flows[check.kind.rawValue]?.kernel = check.verdict(evaluation)
        }
    }

    /// Compares with what the kernel holds for these frontends, and with what it does.
    func kernel(
        _ frontends: [Explanation.Frontend],
        of plans: [ServicePlan],
        evaluated: Result<Void, CommitError>
    ) async -> Explanation.Kernel {
        do throws(CommitError) {
            try evaluated.get()
            let found = try await backend.get()
                .difference(for: plans, node: snapshot.facts)
                .filter { difference in
                    frontends.isEmpty
                        ? difference.subject == .everyone
                        : frontends.contains { $0.dependsOn(difference.subject) }
                }
                .map(\.description)
            return answer(found, frontends)
        } catch {
            return Explanation.Kernel(
                agrees: nil,
                differences: [],
                contradictions: [],
                doubts: [],
                problem: "\(error)",
                isEvaluated: false
            )
        }
    }

    private func answer(
        _ differences: [String],
        _ frontends: [Explanation.Frontend]
    ) -> Explanation.Kernel {
        var (contradictions, doubts): ([String], [String]) = ([], [])
        var isCertain = true
        for frontend in frontends {
            let flows = frontend.flows.sorted { $0.key < $1.key }
            if !flows.contains(where: { $0.value.kernel != nil }) {
                isCertain = false
                doubts.append("\(frontend.key): no route of this node leads to such a client")
            }
            for (kind, flow) in flows {
                guard let kernel = flow.kernel else { continue }
                contradictions += kernel.contradictions.map {
                    "\(kind) to \(frontend.key): \($0)"
                }
                guard kernel.agrees == nil else { continue }
                isCertain = false
                doubts += kernel.doubts.filter { !doubts.contains($0) }
            }
        }
        return Explanation.Kernel(
            agrees: !differences.isEmpty || !contradictions.isEmpty
                ? false : isCertain ? true : nil,
            differences: differences,
            contradictions: contradictions,
            doubts: doubts,
            problem: nil,
            isEvaluated: !frontends.isEmpty
        )
    }
}

extension Explanation.Frontend {
    fileprivate func dependsOn(_ subject: Difference.Subject) -> Bool {
        switch subject {
        case .everyone: true
        case .frontend(let other): other == key
        case .address(let address): address == key.address
        case .endpoint(let address):
            flows.values.contains { $0.wanted.endpoints.contains { $0.address == address } }
        }
    }
}
