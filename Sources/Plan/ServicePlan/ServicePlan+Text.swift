internal import NetworkTypes

extension ServicePlan {
    /// The text that `render -o plan` prints: one object per line, sorted.
    package var text: String {
        var words = ["service \(service.printableWord)"]
        if let scheduler { words.append("scheduler=\(scheduler.printableWord)") }
        if let healthCheck {
            words.append("health-check=\(healthCheck.port)")
            words.append("local-endpoints=\(healthCheck.localEndpoints)")
        }
        var lines = [words.joined(separator: " ")]
        for frontend in frontends {
            lines.append("  \(frontend.key) \(frontend.kind.name) \(portText(frontend))")
        }
        for port in forwardedPorts {
            var words = ["  \(port.key) forwarded"]
            if !port.portName.isEmpty { words.append("port=\(port.portName)") }
            words.append("to \(Self.text(Pool(port.endpoints)))")
            if let timeout = port.affinityTimeout { words.append("affinity=\(timeout)s") }
            lines.append(words.joined(separator: " "))
        }
        return lines.joined(separator: "\n")
    }

    private func portText(_ frontend: Frontend) -> String {
        var words: [String] = []
        if !frontend.portName.isEmpty { words.append("port=\(frontend.portName.printableWord)") }
        switch frontend.action {
        case .balance(let pool): words.append("to \(Self.text(pools[pool]))")
        case .split(let cluster, let local):
            words.append("pods to \(Self.text(pools[cluster]))")
            words.append("others \(local.map { "to \(Self.text(pools[$0]))" } ?? "dropped")")
        case .reject: words.append("reject")
        case .drop: words.append("drop")
        }
        words.append("masquerade=\(frontend.masquerade.name)")
        if let timeout = frontend.affinityTimeout { words.append("affinity=\(timeout)s") }
        if let sources = frontend.allowedSources {
            words.append("from=[\(sources.map(\.description).joined(separator: " "))]")
        }
        return words.joined(separator: " ")
    }

    private static func text(_ pool: Pool) -> String {
        let endpoints = pool.endpoints.map { $0.isLocal ? "\($0)*" : "\($0)" }
        let draining = pool.draining.map { "(\($0))" }
        return "[\((endpoints + draining).joined(separator: " "))]"
    }
}

extension Frontend.Kind {
    package var name: String {
        switch self {
        case .clusterIP: "ClusterIP"
        case .externalIP: "ExternalIP"
        case .loadBalancerVIP: "LoadBalancer"
        case .nodePort: "NodePort"
        }
    }
}

extension Frontend.Masquerade {
    package var name: String {
        switch self {
        case .everyone: "everyone"
        case .nonPods: "non-pods"
        case .node: "node"
        }
    }
}
