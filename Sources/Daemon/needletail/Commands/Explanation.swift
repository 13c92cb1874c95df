internal import NetworkTypes
internal import PlanCompiler

/// The answer of `explain`.
struct Explanation: Encodable {
    struct Client: Encodable {
        let address: String
        let kind: FlowExplanation.Client
    }

    struct Node: Encodable {
        let name: String
        let zone: String?
        let primaryAddresses: [String]
        let nodePortAddresses: [String]
        let podCIDRs: [String]
        let serviceCIDRs: [String]
    }

    struct Frontend: Encodable {
        let key: FrontendKey
        /// With the name of the port.
        let service: String
        let kind: String
        /// By the kind of client.
        var flows: [String: Flow]
        let endpoints: [EndpointVerdict]
        /// What IPVS has, and does, in mode ipvs.
        let destinations: [Destination]?
        let topology: String
        let affinitySeconds: UInt32?
        /// Where the kernel sends this client again.
        let affinityEntry: String?
        let allowedSources: [String]?

        private enum CodingKeys: String, CodingKey {
            case frontend, service, kind, flows, endpoints, destinations, topology
            case affinitySeconds, affinityEntry, allowedSources
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(key.description, forKey: .frontend)
            try container.encode(service, forKey: .service)
            try container.encode(kind, forKey: .kind)
            try container.encode(flows, forKey: .flows)
            try container.encode(endpoints, forKey: .endpoints)
            try container.encodeIfPresent(destinations, forKey: .destinations)
            try container.encode(topology, forKey: .topology)
            try container.encodeIfPresent(affinitySeconds, forKey: .affinitySeconds)
            try container.encodeIfPresent(affinityEntry, forKey: .affinityEntry)
            try container.encodeIfPresent(allowedSources, forKey: .allowedSources)
        }
    }

    /// Of an IPVS server; the counts are since it is there.
    struct Destination: Encodable {
        let endpoint: String
        /// 0: it drains.
        let weight: UInt32
        let activeConnections: Int
        /// Closing, or not yet open.
        let inactiveConnections: Int
        let connections: UInt64
        let bytesIn: UInt64
        let bytesOut: UInt64
    }

    /// What connection tracking has of a client's connection.
    struct Connection: Encodable {
        let from: String
        let to: String
        /// Nil: nothing was translated.
        let endpoint: String?
        /// Whether a new connection could still get it.
        let isServing: Bool
        /// What the endpoint takes for the client.
        let masqueradedAs: String?
    }

    /// A NodePort on localhost.
    struct Forwarded: Encodable {
        let frontend: String
        /// With the name of the port.
        let service: String
        let endpoints: [String]
        let affinitySeconds: UInt32?
    }

    let services: [String]
    let diagnostics: [String]
    /// What happens to packets of an address that no Service has.
    let unserved: String?
    let client: Client?
    let frontends: [Frontend]
    /// What the daemon serves itself.
    let forwarded: [Forwarded]
    /// Of the client; nil without one, and where the kernel does not tell.
    let connections: [Connection]?
    let node: Node
    let kernel: Kernel
    /// Nil: nobody asked for that.
    var verifications: [Verified]?
}

extension Explanation {
    var text: String {
        var lines: [String] = []
        if let client {
            lines.append("from \(client.address): \(Self.words(client.kind))")
        } else if !frontends.isEmpty {
            lines.append("for each kind of client; --from ADDRESS asks for one")
        }
        for frontend in frontends { lines += Self.lines(frontend) }
        for port in forwarded { lines += Self.lines(port) }
        if let unserved { lines.append(unserved) }
        if let connections { lines += Self.lines(connections) }
        lines += diagnostics.map { "warning: \($0)" }
        let zone = node.zone.map { ", zone \($0)" } ?? ", without a zone"
        lines.append("node \(node.name)\(zone)")
        for (name, values) in [
            ("addresses", node.primaryAddresses), ("NodePorts at", node.nodePortAddresses),
            ("pods in", node.podCIDRs), ("cluster IPs in", node.serviceCIDRs),
        ] where !values.isEmpty { lines.append("  \(name) \(values.joined(separator: ", "))") }
        lines += kernel.lines
        lines += (verifications ?? []).flatMap(\.lines)
        return lines.map { $0.printable + "\n" }.joined()
    }

    private static func lines(_ port: Forwarded) -> [String] {
        var lines = ["\(port.frontend)  NodePort of \(port.service) on localhost"]
        if port.endpoints.isEmpty {
            lines.append("  this node itself: refused: no endpoint that it may use")
        } else {
            lines.append(
                "  this node itself: the daemon's forwarder listens there, no rule of the kernel; it"
                    + " connects, as this node, to one of"
            )
            lines.append("    \(port.endpoints.joined(separator: ", "))")
        }
        if let seconds = port.affinitySeconds {
            lines.append("  affinity: all share one endpoint until none has come for \(seconds) s")
        }
        return lines
    }

    private static func words(_ kind: FlowExplanation.Client) -> String {
        switch kind {
        case .pod: "a pod of the cluster"
        case .node: "this node itself"
        case .outside: "neither a pod nor this node"
        }
    }

    private static let shownConnections = 20

    private static func lines(_ connections: [Connection]) -> [String] {
        guard !connections.isEmpty else { return ["connections of this client: none on this node"] }
        var lines = ["connections of this client:"]
        for connection in connections.prefix(shownConnections) {
            var line = "  \(connection.from) to \(connection.to): "
            if let endpoint = connection.endpoint {
                line += "with \(endpoint)"
                if !connection.isServing { line += ", which gets no new ones" }
            } else {
                line += "not translated"
            }
            if let seen = connection.masqueradedAs { line += ", masqueraded as \(seen)" }
            lines.append(line)
        }
        let rest = connections.count - shownConnections
        if rest > 0 { lines.append("  and \(rest) more") }
        return lines
    }

    private static func lines(_ flow: FlowExplanation, of who: String) -> [String] {
        let lines = ["  \(who): \(flow.outcome.rawValue): \(flow.why)"]
        guard flow.outcome == .balanced else { return lines }
        return lines + [
            "    \(flow.endpoints.map(\.description).joined(separator: ", "))",
            "    \(flow.isMasqueraded ? "masqueraded" : "not masqueraded"): \(flow.whyMasqueraded)",
        ]
    }

    private static func lines(_ frontend: Frontend) -> [String] {
        var lines = ["\(frontend.key)  \(frontend.kind) of \(frontend.service)"]
        for (kind, flow) in frontend.flows.sorted(by: { $0.key < $1.key }) {
            let who = FlowExplanation.Client(rawValue: kind).map(words) ?? kind
            lines += Self.lines(flow.wanted, of: who) + (flow.kernel?.lines ?? [])
        }
        if let sources = frontend.allowedSources {
            lines.append("  allowed sources: \(sources.joined(separator: ", "))")
        }
        if let seconds = frontend.affinitySeconds {
            lines.append(
                "  affinity: a client stays with its endpoint for \(seconds) s"
                    + (frontend.affinityEntry.map { "; this one is sent to \($0)" } ?? "")
            )
        }
        lines.append(
            frontend.endpoints.isEmpty
                ? "  endpoints of this port: none" : "  endpoints (\(frontend.topology)):"
        )
        for verdict in frontend.endpoints {
            let sign = verdict.servesCluster || verdict.servesLocal ? "+" : "-"
            let place = verdict.isLocal ? ", on this node" : ""
            lines.append("    \(sign) \(verdict.endpoint): \(verdict.reason)\(place)")
        }
        for destination in frontend.destinations ?? [] {
            lines.append(
                "  IPVS: \(destination.endpoint)"
                    + (destination.weight == 0 ? " drains" : ", weight \(destination.weight)")
                    + ", connections: \(destination.activeConnections) active, "
                    + "\(destination.inactiveConnections) inactive, "
                    + "\(destination.connections) in all"
            )
        }
        return lines
    }
}
