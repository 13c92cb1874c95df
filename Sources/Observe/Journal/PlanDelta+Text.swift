internal import NetworkTypes
package import ServicePlan

extension PlanDelta {
    /// The number of endpoints or frontends that a text names.
    private static let shown = 8

    /// The difference on one line, such as `endpoints +10.244.1.5:8080 -10.244.1.4:8080`; empty if
    /// there is none.
    package var text: String {
        if steps.contains(.existence(old: true, new: false)) { return "removed" }
        var words = steps.contains(.existence(old: false, new: true)) ? ["added"] : []
        words += frontendWords + endpointWords + otherWords
        if words.isEmpty, !steps.isEmpty { words = ["the same endpoints, in other pools"] }
        return words.joined(separator: ", ")
    }

    // MARK: Frontends

    private var frontendWords: [String] {
        var old: [FrontendKey: Frontend] = [:]
        var new: [FrontendKey: Frontend] = [:]
        for case .frontend(let frontend, let sign) in steps {
            if sign == .added { new[frontend.key] = frontend } else { old[frontend.key] = frontend }
        }
        let added = new.keys.filter { old[$0] == nil }.sorted()
        let removed = old.keys.filter { new[$0] == nil }.sorted()
        var words: [String] = []
        if let list = Self.list(added, removed) { words.append("frontend \(list)") }
        let changed = old.keys.filter { new[$0] != nil }.sorted()
        for key in changed.prefix(Self.shown) {
            guard let before = old[key], let after = new[key] else { continue }
            let differences = Self.differences(before, after)
            if !differences.isEmpty {
                words.append("frontend ~\(key): \(differences.joined(separator: ", "))")
            }
        }
        if changed.count > Self.shown {
            words.append("\(changed.count - Self.shown) more frontends")
        }
        return words
    }

    private static func differences(_ old: Frontend, _ new: Frontend) -> [String] {
        var words: [String] = []
        if old.action.name != new.action.name { words.append(new.action.name) }
        if old.kind != new.kind { words.append("\(old.kind.name) -> \(new.kind.name)") }
        if old.portName != new.portName {
            words.append("port \"\(old.portName)\" -> \"\(new.portName)\"")
        }
        if old.masquerade != new.masquerade {
            words.append("masquerade \(old.masquerade.name) -> \(new.masquerade.name)")
        }
        if old.affinityTimeout != new.affinityTimeout {
            let names = [old, new].map { $0.affinityTimeout.map { "\($0)s" } ?? "none" }
            words.append("affinity \(names[0]) -> \(names[1])")
        }
        if old.allowedSources != new.allowedSources {
            switch (old.allowedSources, new.allowedSources) {
            case (_, nil): words.append("all sources allowed")
            case (nil, let sources?):
                words.append("sources \(list(sources, []) ?? "none")")
            case (let before?, let after?):
                let added = after.filter { !before.contains($0) }
                let removed = before.filter { !after.contains($0) }
                words.append("sources \(list(added, removed) ?? "none")")
            }
        }
        return words
    }

    // MARK: Endpoints

    private var endpointWords: [String] {
        var serving = EndpointChanges()
        var draining = EndpointChanges()
        for case .endpoint(let endpoint, _, let isDraining, let sign) in steps {
            if isDraining {
                draining.add(endpoint.place, sign)
            } else {
                serving.add(endpoint.place, sign)
            }
        }
        return [
            Self.list(serving.added, serving.removed).map { "endpoints \($0)" },
            Self.list(draining.added, draining.removed).map { "draining \($0)" },
        ].compactMap(\.self)
    }

    /// The endpoints that came or went in some pool.
    ///
    /// One that came in one pool and went in another only moved.
    private struct EndpointChanges {
        private var came: Set<AddressAndPort> = []
        private var went: Set<AddressAndPort> = []

        mutating func add(_ place: AddressAndPort, _ sign: PlanStep.Sign) {
            if sign == .added { came.insert(place) } else { went.insert(place) }
        }

        var added: [AddressAndPort] { came.subtracting(went).sorted() }
        var removed: [AddressAndPort] { went.subtracting(came).sorted() }
    }

    // MARK: The rest

    private var otherWords: [String] {
        var words: [String] = []
        var (added, removed): ([FrontendKey], [FrontendKey]) = ([], [])
        var hasWeights = false
        for step in steps {
            switch step {
            case .forwardedPort(let port, .added): added.append(port.key)
            case .forwardedPort(let port, .removed): removed.append(port.key)
            case .weight: hasWeights = true
            case .scheduler(let old, let new):
                words.append("scheduler \(old ?? "default") -> \(new ?? "default")")
            case .healthCheck(let old, let new):
                words.append("health check \(Self.text(old)) -> \(Self.text(new))")
            case .existence, .frontend, .poolCount, .endpoint: break
            }
        }
        if hasWeights { words.append("weights") }
        let changed = added.filter(removed.contains)
        let list = Self.list(
            added.filter { !changed.contains($0) },
            removed.filter { !changed.contains($0) },
            changed
        )
        if let list { words.append("on localhost \(list)") }
        return words
    }

    private static func text(_ check: HealthCheck?) -> String {
        check.map { "port \($0.port) with \($0.localEndpoints) local endpoints" } ?? "none"
    }

    /// Returns `+a -b ~c`; nil if there is nothing.
    private static func list<Item: CustomStringConvertible>(
        _ added: [Item],
        _ removed: [Item],
        _ changed: [Item] = []
    ) -> String? {
        let words =
            added.lazy.map { "+\($0)" } + removed.lazy.map { "-\($0)" }
            + changed.lazy.map { "~\($0)" }
        guard !words.isEmpty else { return nil }
        let rest = words.count > shown ? " and \(words.count - shown) more" : ""
        return words.prefix(shown).joined(separator: " ") + rest
    }
}

extension Frontend.Action {
    /// What happens to connections, in a word.
    package var name: String {
        switch self {
        case .balance: "balanced"
        case .split(_, local: .some): "balanced, for clients from outside among local endpoints"
        case .split(_, local: nil): "balanced, for clients from outside dropped"
        case .reject: "refused, there is no endpoint"
        case .drop: "dropped, there is no local endpoint"
        }
    }
}
