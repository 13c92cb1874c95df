internal import KubernetesModel
internal import NFTablesKernel
internal import Netlink
internal import NetworkTypes
internal import PlanCompiler
internal import Reconciler
internal import ServicePlan

/// The names of what connections lead to, as the cluster had them at one moment.
struct ConnectionNames: Sendable {
    struct Frontend: Sendable, Hashable {
        let service: String
        /// The name of the port; may be empty.
        let port: String
        let kind: String

        /// The name of the Service and its port: `shop/web:http`.
        var label: String { port.isEmpty ? service : "\(service):\(port)" }
    }

    /// Where an endpoint runs, as far as its EndpointSlice tells.
    struct Place: Sendable, Hashable {
        let node: String?
        let zone: String?
    }

    private var frontends: [FrontendKey: Frontend] = [:]
    private var places: [IPAddress: Place] = [:]

    init(_ snapshot: Snapshot) {
        self.init(snapshot.plans, on: snapshot.view) {
            snapshot.state.input(ObjectName($0))?.slices ?? []
        }
    }

    /// - Parameter slices: returns the EndpointSlices of a Service
    init(
        _ plans: [ServicePlan],
        on node: NodeView,
        slices: (String) -> [EndpointSlice]
    ) {
        for plan in plans {
            for frontend in plan.frontends {
                frontends[frontend.key] = Frontend(
                    service: plan.service,
                    port: frontend.portName,
                    kind: frontend.kind.name
                )
            }
            for port in plan.forwardedPorts {
                frontends[port.key] = Frontend(
                    service: plan.service,
                    port: port.portName,
                    kind: Frontend.localhost
                )
            }
            for endpoint in slices(plan.service).flatMap(\.endpoints) {
                let isHere = endpoint.place.nodeName == node.name
                places[endpoint.address] = Place(
                    node: endpoint.place.nodeName,
                    zone: endpoint.place.zone ?? (isHere ? node.zone : nil)
                )
            }
        }
    }

    func frontend(_ key: FrontendKey) -> Frontend? { frontends[key] }

    func place(of endpoint: IPAddress) -> Place? { places[endpoint] }

    /// Returns the filter for a target; without one, for the connections of all Services.
    func filter(
        _ target: WatchTarget?,
        from client: IPPrefix?
    ) throws(Failure) -> ConnectionFilter {
        switch target {
        case nil: return ConnectionFilter(targets: nil, client: client)
        case .frontend(let target): return ConnectionFilter(targets: [target], client: client)
        case .service(let service, let port):
            let targets = try frontends(of: service, port).map(ConnectionFilter.Target.init)
            return ConnectionFilter(targets: targets, client: client)
        }
    }

    /// Returns where packets go that a target is about; without one, all frontends, and the addresses
    /// at which there is nothing but Services.
    func places(_ target: WatchTarget?, serviceCIDRs: [IPPrefix]) throws(Failure) -> StoppedPlaces {
        switch target {
        case nil:
            let clusterIPs = frontends.filter { $0.value.kind == clusterIP }
            return StoppedPlaces(
                frontends: Set(frontends.keys),
                addresses: Set(clusterIPs.keys.map(\.address)),
                blocks: serviceCIDRs
            )
        case .frontend(let target):
            guard let port = target.port else {
                return StoppedPlaces(addresses: [target.address])
            }
            let transports = target.transport.map { [$0] } ?? TransportProtocol.allCases
            return StoppedPlaces(
                frontends: Set(transports.map { FrontendKey(target.address, $0, port) })
            )
        case .service(let service, let port):
            return StoppedPlaces(frontends: Set(try frontends(of: service, port)))
        }
    }

    /// Returns the frontends of a Service in their order.
    ///
    /// - Parameter port: the name or the number of one port
    private func frontends(
        of service: String,
        _ port: String?
    ) throws(Failure) -> [FrontendKey] {
        let all = frontends.filter { $0.value.service == service }
        guard !all.isEmpty else {
            throw Failure(
                "this node serves no Service \(service); \"needletail explain \(service)\" says why"
            )
        }
        let keys = all.filter { key, name in
            port.map { $0 == name.port || $0 == String(key.port) } ?? true
        }
        guard !keys.isEmpty else {
            let ports = Set(all.map { $1.port.isEmpty ? String($0.port) : $1.port }).sorted()
            throw Failure(
                "Service \(service) has no port \(port ?? ""); it has \(ports.joined(separator: ", "))"
            )
        }
        return keys.keys.sorted()
    }
}

extension ConnectionNames.Frontend {
    /// The kind of NodePorts that the daemon's forwarder serves.
    static let localhost = "NodePort on localhost"
}

private let clusterIP = Frontend.Kind.clusterIP.name
