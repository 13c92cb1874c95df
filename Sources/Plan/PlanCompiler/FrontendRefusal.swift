package import KubernetesModel
package import NetworkTypes
package import ServicePlan

extension NodeView {
    /// The reason why no Service may use the address for this kind of frontend; nil if one may.
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

    /// The reason why no Service may use the address and port for this kind of frontend; nil if one
    /// may.
    func refusal(of key: FrontendKey, _ kind: Frontend.Kind) -> String? {
        // The API server allots cluster IPs, including its own.
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

/// The frontends of a Service that may hide a port on which another program of the node listens.
///
/// Such a program gets no more connections.
package struct OccupiedPorts: Sendable {
    /// The frontends at addresses of the node, the only ones that can hide a listening port.
    package let keys: [FrontendKey]

    package init(_ plan: ServicePlan?, on node: NodeView) {
        keys =
            plan?.frontends.lazy.filter {
                $0.kind != .clusterIP
                    && ($0.kind == .nodePort || node.addresses.contains($0.key.address))
            }
            .map(\.key) ?? []
    }

    /// Reports the frontends that hide a listening port, the first few of them by name.
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
