package import KubernetesModel
package import NetworkTypes
package import ServicePlan

extension NodeView {
    /// Why no Service is programmed at the address in this way; nil: one may be.
    func refusal(of address: IPAddress, _ kind: Frontend.Kind) -> String? {
        if let reason = address.reasonNotForServices {
            return "\(address) \(reason); no Service is programmed there"
        }
        guard kind == .externalIP, !allowsNodeAddresses, ownAddresses.contains(address)
        else { return nil }
        return
            "\(address) is node \(name)'s own address, which no Service may take; use a NodePort or a load"
            + " balancer, or allow it with needletail.nodeAddressesAsExternalIPs"
    }

    /// Why no Service is programmed at the address and port in this way; nil: one may be.
    func refusal(of key: FrontendKey, _ kind: Frontend.Kind) -> String? {
        // The API server allots cluster IPs, its own among them.
        guard kind != .clusterIP, key.transport == .tcp else { return nil }
        if apiServers.contains(key) {
            return "\(key) is where the API server is reached; no Service is programmed there"
        }
        guard kind != .nodePort, addresses.contains(key.address),
            let user = protectedPorts[key.port]
        else { return nil }
        return "\(key) is port \(key.port) of node \(name), kept for \(user); choose another port"
    }
}

/// Frontends of a Service where something else on the node listens, which then gets no more
/// connections.
package struct OccupiedPorts: Sendable {
    /// Of the Service: only these can be occupied.
    package let keys: [FrontendKey]

    package init(_ plan: ServicePlan?, on node: NodeView) {
        keys =
            plan?.frontends.lazy.filter {
                $0.kind != .clusterIP
                    && ($0.kind == .nodePort || node.addresses.contains($0.key.address))
            }
            .map(\.key) ?? []
    }

    /// The occupied ones, the first few by name.
    package func diagnostics(
        of service: ObjectName,
        _ listening: ListeningSockets
    ) -> [Diagnostic] {
        var list = DiagnosticList(of: "Service \(service)")
        for key in keys where listening.contains(key) {
            list.add(
                Diagnostic(
                    "Service \(service)",
                    FieldProblem(
                        "spec.ports",
                        "something on this node listens on \(key), and gets no more connections there: the"
                            + " Service's endpoints do; \"ss -lnp sport = \(key.port)\" shows it"
                    ),
                    event: .portInUse
                )
            )
        }
        return list.all
    }
}
