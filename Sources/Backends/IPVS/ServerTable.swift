package import NFTables
package import NetworkTypes
package import ServicePlan

/// The virtual servers that the plans want, and those that are kept for their last connections.
///
/// The table has no side effects: it returns operations, and the caller performs them. After a
/// failure it must be made anew from what the kernel holds. Times are seconds of any clock that
/// only goes forward.
package struct ServerTable: Sendable {
    /// How long removed destinations keep their connections, in seconds.
    package var drainTimeout: Double
    private let defaults: BalancingDefaults
    /// The only frontends that may have virtual servers while another balancer takes over; nil if
    /// all may.
    private var allowed: Set<FrontendKey>?
    /// The addresses that were bound when another balancer began to take over; they stay bound
    /// while they have servers.
    private var boundBefore: Set<IPAddress> = []
    private(set) var plans: [String: ServicePlan] = [:]
    private var servers: [FrontendKey: VirtualServer] = [:]
    /// For each address, the number of plans and leaving servers that need it bound.
    private var addressUsers: [IPAddress: Int] = [:]
    /// The addresses whose need may have changed since `takeTouchedAddresses` was last called.
    private var touchedAddresses: Set<IPAddress> = []
    /// The deadlines of draining destinations: no plan has them any more, and their weight is 0.
    private var draining: [FrontendKey: [Destination.ID: Double]] = [:]
    /// Servers that no plan has any more, kept for their draining destinations.
    private var leaving: [FrontendKey: Leaving] = [:]

    private struct Leaving {
        /// The server without its draining destinations.
        let server: VirtualServer
        /// Whether the device keeps the server's address; if not, the rules recognize the server's
        /// connections by their destinations.
        let isBound: Bool
    }

    package init(_ defaults: BalancingDefaults, drainTimeout: Double) {
        (self.defaults, self.drainTimeout) = (defaults, drainTimeout)
    }

    /// The key of each plan's virtual servers, with the Service that owns it.
    package var services: [(key: FrontendKey, service: String)] {
        plans.values.flatMap { plan in frontends(of: plan).map { ($0.key, plan.service) } }
    }

    /// Returns the frontends of a plan that have a virtual server.
    private func frontends(of plan: ServicePlan?) -> [Frontend] {
        (plan?.frontends ?? []).filter { frontend in
            frontend.action.outerPool != nil && allowed?.contains(frontend.key) ?? true
                && !defaults.refusals.servers.contains(frontend.key)
        }
    }

    private func addresses(of plan: ServicePlan?) -> Set<IPAddress> {
        let addresses = plan?.virtualAddresses ?? []
        guard allowed != nil else { return addresses }
        let used = Set(frontends(of: plan).map(\.key.address))
        return used.filter { addresses.contains($0) || boundBefore.contains($0) }
    }

    /// Whether the server is kept only for its last connections.
    package func isLeaving(_ key: FrontendKey) -> Bool { leaving[key] != nil }

    /// The servers that have a draining destination.
    package var drainingServers: [FrontendKey] { Array(draining.keys) }

    /// Whether there are no servers and no bound addresses any more.
    package var isEmpty: Bool { servers.isEmpty && leaving.isEmpty && addressUsers.isEmpty }

    /// Whether an address must be bound, because a plan or a leaving server needs it.
    package func needs(_ address: IPAddress) -> Bool { addressUsers[address] != nil }

    package var addresses: Set<IPAddress> { Set(addressUsers.keys) }

    /// The draining destinations of leaving servers whose addresses are not bound.
    ///
    /// Only the rules bring their packets to IPVS. Binding such an address would also take its
    /// other ports away from its owner.
    package var drainingDestinations: Set<DrainingDestination> {
        var found: Set<DrainingDestination> = []
        for (key, leaving) in leaving where !leaving.isBound {
            for id in draining[key, default: [:]].keys {
                found.insert(DrainingDestination(key, id.address))
            }
        }
        return found
    }

    /// The addresses whose need may have changed since the last call.
    package mutating func takeTouchedAddresses() -> Set<IPAddress> {
        defer { touchedAddresses = [] }
        return touchedAddresses
    }

    // MARK: Changing Services

    package mutating func apply(
        _ changes: [PlanChange],
        now: Double
    ) -> [ServerOperation] {
        var operations: [ServerOperation] = []
        var wanted: [FrontendKey: VirtualServer] = [:]
        var gone: Set<FrontendKey> = []
        var bound: Set<IPAddress> = []
        for change in changes {
            let (service, old, plan) = (change.service, change.old, change.new)
            bound.formUnion(addresses(of: old))
            count(old, -1)
            count(plan, 1)
            plans[service] = plan
            var before: [FrontendKey: Frontend] = [:]
            for frontend in frontends(of: old) { before[frontend.key] = frontend }
            for frontend in frontends(of: plan) {
                // Most changes concern one port or none.
                if let old, let plan, let known = before.removeValue(forKey: frontend.key),
                    plan.hasSameServer(frontend, as: known, of: old),
                    servers[frontend.key] != nil
                {
                    continue
                }
                wanted[frontend.key] = plan?.server(frontend, defaults)
            }
            gone.formUnion(before.keys)
        }
        // A frontend may have moved from one Service to another.
        for key in gone where wanted[key] == nil {
            remove(key, isBound: bound.contains(key.address), now, &operations)
        }
        for server in wanted.values.sorted(by: { $0.key < $1.key }) {
            put(server, now, &operations)
        }
        return operations
    }

    private mutating func count(_ plan: ServicePlan?, _ difference: Int) {
        for address in addresses(of: plan) { count(address, difference) }
    }

    private mutating func count(_ address: IPAddress, _ difference: Int) {
        touchedAddresses.insert(address)
        let users = addressUsers[address, default: 0] + difference
        addressUsers[address] = users == 0 ? nil : users
    }

    private mutating func leave(_ key: FrontendKey, _ new: Leaving) {
        leaving[key] = new
        if new.isBound { count(key.address, 1) }
    }

    private mutating func takeLeaving(_ key: FrontendKey) -> VirtualServer? {
        guard let old = leaving.removeValue(forKey: key) else { return nil }
        if old.isBound { count(key.address, -1) }
        return old.server
    }

    private mutating func put(
        _ server: VirtualServer,
        _ now: Double,
        _ operations: inout [ServerOperation]
    ) {
        let left = takeLeaving(server.key)
        guard let old = servers.updateValue(server, forKey: server.key) ?? left else {
            operations += server.creation(defaults)
            return
        }
        if old.attributes != server.attributes { operations.append(.set(server.attributes)) }
        exchange(server.key, old.destinations, server.destinations, now, &operations)
    }

    private mutating func exchange(
        _ key: FrontendKey,
        _ old: [Destination],
        _ new: [Destination],
        _ now: Double,
        _ operations: inout [ServerOperation]
    ) {
        guard old != new else { return }
        // The kernel's list is not a snapshot: a destination may occur twice.
        var before = Dictionary(old.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
        for destination in new {
            let isDraining = draining[key]?.removeValue(forKey: destination.id) != nil
            if let known = before.removeValue(forKey: destination.id) {
                if known != destination { operations.append(.setDestination(destination, of: key)) }
            } else if isDraining {
                // The kernel still has it, with weight 0.
                if destination.weight != 0 {
                    operations.append(.setDestination(destination, of: key))
                }
            } else {
                operations.append(.addDestination(destination, to: key))
            }
        }
        if draining[key]?.isEmpty == true { draining[key] = nil }
        for destination in before.values.sorted(by: { $0.id < $1.id }) {
            drain(destination, key, now, &operations)
        }
    }

    /// Removes a destination of UDP at once, and lets the connections of others end by themselves.
    private mutating func drain(
        _ destination: Destination,
        _ key: FrontendKey,
        _ now: Double,
        _ operations: inout [ServerOperation]
    ) {
        guard key.transport != .udp, drainTimeout > 0 else {
            operations.append(.removeDestination(destination.id, of: key))
            return
        }
        if destination.weight != 0 {
            let quiet = Destination(destination.address, destination.port, weight: 0)
            operations.append(.setDestination(quiet, of: key))
        }
        draining[key, default: [:]][destination.id] = now + drainTimeout
    }

    private mutating func remove(
        _ key: FrontendKey,
        isBound: Bool,
        _ now: Double,
        _ operations: inout [ServerOperation]
    ) {
        guard let old = servers.removeValue(forKey: key) else { return }
        // New connections to an address that is not bound belong to its owner, which may be the
        // node.
        let isPassing = !isBound && !defaults.refusals.destinations.contains(key.address)
        let rest = isPassing ? VirtualServer.passing(key, defaults) : old.attributes
        var changes: [ServerOperation] = []
        if rest.attributes != old.attributes { changes.append(.set(rest.attributes)) }
        if key.transport != .udp, drainTimeout > 0 {
            exchange(key, old.destinations, rest.destinations, now, &changes)
        }
        guard draining[key] != nil else {
            // Removing the server removes its destinations too.
            operations.append(.remove(key))
            return
        }
        operations += changes
        leave(key, Leaving(server: rest, isBound: isBound))
    }

    // MARK: Draining

    /// How long a leaving server waits for connections that are not yet open, in seconds.
    private static let handshake = 1.0

    /// The connections that a destination has in the kernel.
    package struct Connections: Sendable, Hashable {
        package var active: Int
        /// Connections that are closing or not yet open.
        package var inactive: Int

        package init(active: Int, inactive: Int = 0) {
            (self.active, self.inactive) = (active, inactive)
        }
    }

    /// Returns the operations that remove those draining destinations of a server that have no
    /// connections left or have reached their deadline.
    ///
    /// A leaving server keeps its address and port from other uses. So it waits for connections
    /// that are closing or not yet open only as long as a handshake takes.
    package mutating func finishDraining(
        _ key: FrontendKey,
        connections: [Destination.ID: Connections],
        now: Double
    ) -> [ServerOperation] {
        var operations: [ServerOperation] = []
        let isLeaving = leaving[key] != nil
        for (id, deadline) in draining[key] ?? [:] {
            let isEarly = deadline - drainTimeout + Self.handshake > now
            let open = connections[id].map {
                $0.active + (isLeaving && !isEarly ? 0 : $0.inactive)
            }
            guard open ?? 0 == 0 || deadline <= now else { continue }
            draining[key]?[id] = nil
            if connections[id] != nil { operations.append(.removeDestination(id, of: key)) }
        }
        guard draining[key]?.isEmpty == true else { return operations }
        draining[key] = nil
        guard takeLeaving(key) != nil else { return operations }
        return [.remove(key)]
    }

    // MARK: Retiring

    /// The keys of all servers that plans have.
    package var served: Set<FrontendKey> { Set(servers.keys) }

    /// Removes servers of plans for good, with all of their destinations.
    package mutating func retire(_ keys: Set<FrontendKey>) -> [ServerOperation] {
        guard !keys.isEmpty else { return [] }
        let holders = plans.values.filter { plan in
            frontends(of: plan).contains { keys.contains($0.key) }
        }
        for plan in holders { count(plan, -1) }
        allowed?.subtract(keys)
        for plan in holders { count(plan, 1) }
        for key in keys { (servers[key], draining[key]) = (nil, nil) }
        return keys.sorted().map { .remove($0) }
    }

    // MARK: Taking over

    /// Takes over what the kernel holds.
    ///
    /// - Parameters:
    /// - kernel: the servers that are needletail's, or that have the key of one that plans want
    /// - bound: the addresses of the device
    /// - isExcluded: whether servers with this address are never removed
    /// - isRetiring: whether another balancer takes over: then plans keep only servers that may
    /// have connections
    /// - Returns: the table in which these plans are in force, and the operations that lead to it
    package static func adopting(
        _ kernel: [VirtualServer],
        plans: [ServicePlan],
        _ defaults: BalancingDefaults,
        drainTimeout: Double,
        bound: Set<IPAddress> = [],
        isExcluded: (IPAddress) -> Bool = { _ in false },
        isRetiring: Bool = false,
        now: Double
    ) -> (table: ServerTable, operations: [ServerOperation]) {
        var table = ServerTable(defaults, drainTimeout: drainTimeout)
        for server in kernel { table.servers[server.key] = server }
        let present = Set(table.servers.keys)
        if isRetiring {
            table.boundBefore = bound
            // Clients without connections (UDP) move to the other balancer at once.
            table.allowed =
                drainTimeout > 0
                ? present.filter { $0.transport != .udp && !isExcluded($0.address) } : []
        }
        var operations = table.apply(
            plans.map { PlanChange($0.service, old: nil, new: $0) },
            now: now
        )
        let wanted = Set(table.services.map(\.key))
        for key in present.subtracting(wanted).sorted() {
            if isExcluded(key.address) {
                table.servers[key] = nil
            } else {
                table.remove(
                    key,
                    isBound: bound.contains(key.address),
                    now,
                    &operations
                )
            }
        }
        return (table, operations)
    }
}
