internal import NetworkTypes
internal import Netlink
internal import ServicePlan

/// Tells which clients are neither pods nor this node, as the rules tell it of packets: by address,
/// or by the interface, which is taken to be the one that leads back to the client.
struct OutsiderLookup: ~Copyable {
    private var routes: RouteLookup
    private var known: [IPAddress: Bool] = [:]

    init() throws(NetlinkError) { routes = try RouteLookup() }

    /// Forgets what was found, since routes change.
    mutating func begin() { known = [:] }

    /// A client of whom nothing can be said is none.
    mutating func contains(_ client: IPAddress, _ node: NodeFacts) -> Bool {
        if let answer = known[client] { return answer }
        let answer = isOutsider(client, node)
        known[client] = answer
        return answer
    }

    private mutating func isOutsider(_ client: IPAddress, _ node: NodeFacts) -> Bool {
        let detection = node.localDetection(client.family)
        do throws(NetlinkError) {
            let route = try routes.route(to: client)
            if route?.isLocal == true { return false }
            switch detection {
            case .none: return true
            case .podCIDRs: return !node.podCIDRs.contains { $0.contains(client) }
            case .interface(let name): return route?.interface.map { $0 != name } ?? false
            case .interfacePrefix(let name):
                return route?.interface.map { !$0.hasPrefix(name) } ?? false
            }
        } catch {
            return false
        }
    }
}
