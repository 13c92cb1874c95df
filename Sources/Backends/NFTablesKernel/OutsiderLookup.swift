internal import NetworkTypes
internal import Netlink
internal import ServicePlan

/// Finds out which clients are neither pods nor this node (outsiders).
///
/// The rules recognize pods by their address or by the interface that a packet arrives on. Here the
/// interface of the route back to the client takes its place.
struct OutsiderLookup: ~Copyable {
    private var routes: RouteLookup
    private var known: [IPAddress: Bool] = [:]

    init() throws(NetlinkError) { routes = try RouteLookup() }

    /// Forgets all answers, since routes change.
    mutating func begin() { known = [:] }

    /// Whether a client is an outsider; false if that cannot be found out.
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
