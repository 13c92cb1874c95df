package import NFTables
package import NetworkTypes
package import ServicePlan

/// The virtual servers that the kernel holds for us, those that it should hold, and those that are
/// on their way out.
///
/// Pure: it says what to do; a kernel does it. After a failure it must be made anew from what the
/// kernel holds. Times are seconds of any clock that only goes forward.
package struct ServerTable: Sendable {
    /// For as long as removed destinations keep their connections, in seconds.
    package var drainTimeout: Double
    private let defaults: BalancingDefaults
    /// The only ones that plans may have, when another balancer takes over; nil: all.
    private var allowed: Set<FrontendKey>?
    /// Addresses that were bound before; their servers keep them.
    private var boundBefore: Set<IPAddress> = []
    private(set) var plans: [String: ServicePlan] = [:]
    private var servers: [FrontendKey: VirtualServer] = [:]
    /// How many plans and bound leaving servers need an address.
    private var addressUsers: [IPAddress: Int] = [:]
    /// Those whose need may have changed since the last look.
    private var touchedAddresses: Set<IPAddress> = []
    /// Until when the destinations may live that no plan has any more; their weight is 0.
    private var draining: [FrontendKey: [Destination.ID: Double]] = [:]
    /// Servers that no plan has any more, kept for their draining destinations.
    private var leaving: [FrontendKey: Leaving] = [:]

    private struct Leaving {
        /// Without the destinations that drain.
        let server: VirtualServer
        /// The device has its address; else its connections are found by their destinations.
        let isBound: Bool
    }

    package init(_ defaults: BalancingDefaults, drainTimeout: Double) {
        (self.defaults, self.drainTimeout) = (defaults, drainTimeout)
    }

    /// The Service of each server that a plan has.
    package var services: [(key: FrontendKey, service: String)] {
        plans.values.flatMap { plan in frontends(of: plan).map { ($0.key, plan.service) } }
    }

    /// Those that have a virtual server.
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

    /// Whether the server is there for nothing but its last connections.
    package func isLeaving(_ key: FrontendKey) -> Bool { leaving[key] != nil }

    /// Every server with a draining destination.
    package var drainingServers: [FrontendKey] { Array(draining.keys) }

    /// Whether nothing of ours is left.
    package var isEmpty: Bool { servers.isEmpty && leaving.isEmpty && addressUsers.isEmpty }

    /// Whether an address must be bound: one of the plans' cluster IPs, or of those that were.
    package func needs(_ address: IPAddress) -> Bool { addressUsers[address] != nil }

    package var addresses: Set<IPAddress> { Set(addressUsers.keys) }

    /// Those of leaving servers whose packets nothing else brings here any more: binding their
    /// addresses would take all of their ports from whoever may have them.
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
                // Most changes are of one port or of none.
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
        // What the kernel lists is no snapshot: something may be there twice.
        var before = Dictionary(old.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
        for destination in new {
            let isDraining = draining[key]?.removeValue(forKey: destination.id) != nil
            if let known = before.removeValue(forKey: destination.id) {
                if known != destination { operations.append(.setDestination(destination, of: key)) }
            } else if isDraining {
                // It is still there, with weight 0.
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

    /// Connectionless clients must move at once; connections may end by themselves.
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
        // New connections to an address that is not ours are its owner's, which may be the node itself.
        let isPassing = !isBound && !defaults.refusals.destinations.contains(key.address)
        let rest = isPassing ? VirtualServer.passing(key, defaults) : old.attributes
        var changes: [ServerOperation] = []
        if rest.attributes != old.attributes { changes.append(.set(rest.attributes)) }
        if key.transport != .udp, drainTimeout > 0 {
            exchange(key, old.destinations, rest.destinations, now, &changes)
        }
        guard draining[key] != nil else {
            // Its destinations go with it.
            operations.append(.remove(key))
            return
        }
        operations += changes
        leave(key, Leaving(server: rest, isBound: isBound))
    }

    // MARK: Draining

    /// Seconds.
    private static let handshake = 1.0

    /// The connections that a destination has in the kernel.
    package struct Connections: Sendable, Hashable {
        package var active: Int
        /// Closing, or not yet open.
        package var inactive: Int

        package init(active: Int, inactive: Int = 0) {
            (self.active, self.inactive) = (active, inactive)
        }
    }

    /// What can go of a server's draining destinations.
    ///
    /// A server that no plan has any more takes its address and port from whoever may want them: it
    /// waits for those that are not yet open or closing for no longer than a handshake takes.
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

    /// Every server that a plan has.
    package var served: Set<FrontendKey> { Set(servers.keys) }

    /// Removes servers of plans for good, with whatever they have.
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

    /// Takes over what the kernel holds: the table in which these plans are in force, and what must
    /// be done for that.
    ///
    /// - Parameters:
    ///   - kernel: the servers that are ours, or that have a key of ours
    ///   - bound: the addresses of the device
    ///   - isExcluded: addresses whose servers are never removed
    ///   - isRetiring: whether another balancer takes over: plans have such servers alone as may
    ///     have connections
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
            // Connectionless clients move at once.
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
