internal import Backend
internal import Netlink
internal import NetworkTypes
internal import Observability
internal import ServicePlan

/// Looks once for settings, rules and routes that keep this node from forwarding.
struct ForwardingCheck {
    let facts: NodeFacts
    let nodeAddresses: [IPAddress]
    /// The addresses of endpoints on this node.
    let localEndpoints: [IPAddress]
    /// Whether everything that is sent to cluster IPs is masqueraded.
    let masqueradesAll: Bool

    /// Returns what was found, and why other things could not be looked at.
    func obstacles(
        _ backend: any Backend
    ) async -> (found: [ForwardingObstacle], unread: [String]) {
        let pods = facts.podCIDRs
        var found = ForwardingSettings.off(families.sorted()).map {
            ForwardingObstacle(sysctl: ForwardingSettings.name($0), of: $0)
        }
        var unread: [String] = []
        do throws(NetlinkError) {
            let interfaces = try Interfaces()
            found += unfilteredBridges(interfaces)
            let routing = RoutingObstacles(interfaces: interfaces, nodeAddresses: nodeAddresses)
            found += try routing.strictFilters()
            // What is masqueraded is answered to the node.
            if !masqueradesAll { found += try routing.bypasses(localEndpoints) }
        } catch {
            unread.append("\(error)")
        }
        do throws(CommitError) {
            found += try await backend.forwardChains()
                .filter { !families.isDisjoint(with: $0.place.families) }
                .compactMap { obstacle($0, pods) }
        } catch {
            unread.append("\(error)")
        }
        for family in families.sorted() {
            do throws(NetlinkError) {
                guard let chain = try XTables(family).forwardChain(), chain.drops else { continue }
                found.append(
                    ForwardingObstacle(
                        legacyChainOf: family,
                        ruleCount: chain.ruleCount,
                        targets: chain.targets,
                        pods: pods
                    )
                )
            } catch {
                unread.append("\(error)")
            }
        }
        return (found, unread)
    }

    private func unfilteredBridges(_ interfaces: Interfaces) -> [ForwardingObstacle] {
        let families = families.sorted()
        let unfiltered = ForwardingSettings.unfilteredOnBridges(families)
        // What is masqueraded is answered to the node, which translates it back.
        guard !unfiltered.isEmpty, !masqueradesAll else { return [] }
        let named = families.compactMap { family in
            if case .interface(let name) = facts.localDetection(family) { name } else { nil }
        }
        let bridges = interfaces.bridges(in: facts.podCIDRs, or: named)
        guard !bridges.isEmpty else { return [] }
        return unfiltered.map {
            ForwardingObstacle(
                bridges: bridges,
                sysctl: ForwardingSettings.bridgeName($0.family),
                $0.value,
                of: $0.family
            )
        }
    }

    /// The IP families of the cluster; it does not matter whether the node forwards packets of other
    /// families.
    private var families: Set<IPFamily> {
        let blocks = Set((facts.podCIDRs + facts.serviceCIDRs).map(\.family))
        guard blocks.isEmpty else { return blocks }
        let addresses = Set(nodeAddresses.map(\.family))
        return addresses.isEmpty ? [.ipv4] : addresses
    }

    private func obstacle(_ chain: ForwardChain, _ pods: [IPPrefix]) -> ForwardingObstacle? {
        let refusal: String?
        switch chain.ending {
        case .accepted: return nil
        case .droppedByPolicy: refusal = nil
        case .refusedByRule(let word): refusal = word
        }
        if chain.acceptsServices { return nil }
        return ForwardingObstacle(
            chain: chain.place.chain,
            of: chain.place.table,
            chain.place.familyName,
            chain.place.families,
            refusal: refusal,
            ruleCount: chain.ruleCount,
            targets: chain.targets,
            pods: pods
        )
    }
}
