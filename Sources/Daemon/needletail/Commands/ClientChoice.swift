internal import KubernetesModel
internal import Netlink
internal import NetworkTypes
internal import PlanCompiler
internal import ServicePlan

/// Chooses clients of each kind, whose packets are evaluated where nobody has named a client.
///
/// Their addresses are invented, so they are never shown.
struct ClientChoice {
    typealias Place = (address: IPAddress, interface: String?)

    private let snapshot: Snapshot
    private let own: [IPAddress]
    let ownAddresses: Set<IPAddress>
    private let dead: [DeadLink]
    private let ways = Ways()

    /// What clients use who have not been asked for theirs: one of the ports of `ip_local_port_range`.
    static let port: UInt16 = 50_000

    init(_ snapshot: Snapshot) {
        self.snapshot = snapshot
        own = (try? readInterfaceAddresses()) ?? []
        ownAddresses = Set(own + snapshot.view.primaryAddresses)
        dead = (try? DeadLink.all()) ?? []
    }

    /// Returns what a client is.
    ///
    /// Where interfaces tell pods, its packets are taken to come by the one that leads to it.
    func kind(_ client: IPAddress) -> FlowExplanation.Client {
        if ownAddresses.contains(client) { return .node }
        guard detection(client.family) != .none else { return .outside }
        return isPod((client, interface(toward: client))) ? .pod : .outside
    }

    /// A client of a kind with the interface that its packets come by; nil if this node has none.
    func place(
        of kind: FlowExplanation.Client,
        for frontend: Frontend,
        of plan: ServicePlan
    ) -> Place? {
        switch kind {
        case .node: return node(toward: frontend.key.address)
        case .pod: return chosen(pods(frontend, plan), frontend) { isPod($0) }
        case .outside: return chosen(outsiders(frontend), frontend) { !isPod($0) }
        }
    }

    /// The place of a client with a known address.
    func place(
        of client: IPAddress,
        _ kind: FlowExplanation.Client
    ) -> Place? {
        guard kind != .node else { return (client, nil) }
        if kind == .pod, case .interface(let name) = detection(client.family) {
            return (client, name)
        }
        return interface(toward: client).map { (client, $0) }
    }

    /// Why an endpoint of this node may not get what is sent to it; nil if nothing speaks for that.
    ///
    /// If its packets go where those for the outside go, its interface may be down, or the route gone.
    /// Which port of a bridge leads to it, the bridge may have forgotten.
    func danger(to endpoint: Endpoint) -> String? {
        guard endpoint.isLocal, let interface = interface(toward: endpoint.address) else {
            return nil
        }
        let nobody = Self.nobody(endpoint.address.family).first
        if let nobody, interface == self.interface(toward: nobody) {
            return "its route leads out of it"
        }
        if dead.contains(where: { $0.interface == interface }) {
            return "interface \(interface), which leads to it, is down or has no other end"
        }
        return dead.first { $0.bridge == interface }.map {
            "port \($0.interface) of bridge \(interface), where it may be, is down"
        }
    }

    /// Prefers one that may use the frontend.
    private func chosen(
        _ candidates: some Sequence<IPAddress>,
        _ frontend: Frontend,
        _ isRight: (Place) -> Bool
    ) -> Place? {
        var second: Place?
        for address in candidates where !own.contains(address) {
            guard let name = interface(toward: address) else { continue }
            let place: Place = (address, name)
            guard isRight(place) else { continue }
            if frontend.allowedSources?.contains(where: { $0.contains(address) }) ?? true {
                return place
            }
            second = second ?? place
        }
        return second
    }

    /// The node itself, with the address that the kernel gives its packets.
    func node(toward address: IPAddress) -> Place? {
        let primary = snapshot.view.primaryAddresses.first { $0.family == address.family }
        return (ways.ownAddress(toward: address) ?? primary).map { ($0, nil) }
    }

    // MARK: Candidates

    /// Neighbours of the node's addresses in the blocks of pods, and pods of this node that are known
    /// as endpoints; endpoints of the frontend, which might be sent to themselves, come last.
    private func pods(_ frontend: Frontend, _ plan: ServicePlan) -> [IPAddress] {
        let family = frontend.key.address.family
        let endpoints = Set(plan.pools.flatMap(\.endpoints).map(\.address))
        let blocks = snapshot.facts.podCIDRs.filter { $0.family == family }
        var candidates: [IPAddress] = []
        for address in own where blocks.contains(where: { $0.contains(address) }) {
            candidates += Self.neighbours(of: address)
        }
        let local = snapshot.localEndpoints.filter { $0.family == family }.sorted()
        candidates += local.prefix(Self.mostPods)
        candidates += blocks.flatMap { Self.neighbours(of: $0.base) }
        return candidates.filter { !endpoints.contains($0) }
            + candidates.filter { endpoints.contains($0) }
    }

    private static let mostPods = 64

    /// Addresses of documents (RFC 5737, RFC 3849).
    private static func nobody(_ family: IPFamily) -> [IPAddress] {
        (family == .ipv4 ? ["203.0.113.77", "198.51.100.77"] : ["2001:db8:7::77"])
            .compactMap { IPAddress($0) }
    }

    /// Addresses that the frontend admits, addresses of nobody, and neighbours of the node's.
    private func outsiders(_ frontend: Frontend) -> [IPAddress] {
        let family = frontend.key.address.family
        var candidates: [IPAddress] = []
        for block in frontend.allowedSources ?? [] where block.family == family {
            candidates += [block.base] + Self.neighbours(of: block.base).filter(block.contains)
        }
        candidates += Self.nobody(family)
        for address in snapshot.view.primaryAddresses where address.family == family {
            candidates += Self.neighbours(of: address)
        }
        let blocks = snapshot.facts.podCIDRs + snapshot.facts.serviceCIDRs
        return candidates.filter { address in
            !address.isLoopback && !blocks.contains { $0.contains(address) }
        }
    }

    /// Some of the addresses behind another one.
    private static func neighbours(of address: IPAddress) -> [IPAddress] {
        (1...64).map { offset in
            address.family == .ipv4
                ? IPAddress(ipv4: UInt32(truncatingIfNeeded: address.low &+ offset))
                : IPAddress(ipv6High: address.high, low: address.low &+ offset)
        }
    }

    // MARK: What tells pods

    private func detection(_ family: IPFamily) -> LocalDetection {
        snapshot.facts.localDetection(family)
    }

    /// Whether a client is a pod as far as the rules can tell; if they cannot, whether it is in a
    /// block of pods.
    private func isPod(_ place: Place) -> Bool {
        let inBlock = snapshot.facts.podCIDRs.contains { $0.contains(place.address) }
        return switch detection(place.address.family) {
        case .podCIDRs: inBlock
        case .interface(let name): place.interface == name
        case .interfacePrefix(let prefix): place.interface?.hasPrefix(prefix) == true
        case .none: inBlock || snapshot.localEndpoints.contains(place.address)
        }
    }

    /// The interface that leads to an address of another machine or a pod; nil if none does.
    private func interface(toward client: IPAddress) -> String? { ways.interface(toward: client) }
}

/// The interfaces that lead to addresses, asked for once each.
private final class Ways {
    private var lookup: RouteLookup?
    private var known: [IPAddress: String?] = [:]

    init() { lookup = try? RouteLookup() }

    func interface(toward address: IPAddress) -> String? {
        if let answer = known[address] { return answer }
        let route = (try? lookup?.route(to: address)) ?? nil
        let answer = route.flatMap { $0.isLocal ? nil : $0.interface }
        known[address] = .some(answer)
        return answer
    }

    /// The address that the kernel gives the node's packets to another one.
    func ownAddress(toward address: IPAddress) -> IPAddress? {
        (try? lookup?.route(RouteQuestion(to: address)))??.preferredSource
    }
}
