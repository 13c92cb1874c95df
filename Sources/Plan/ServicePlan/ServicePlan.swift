package import NetworkTypes

/// Everything that one Service means on this node: its frontends and the pools behind them.
///
/// The whole program works in units of plans. Values are canonical: two plans that mean the same
/// are equal.
package struct ServicePlan: Sendable, Hashable {
    /// The Service's `namespace/name`.
    package let service: String
    /// The frontends, sorted by key; each key occurs once.
    package var frontends: [Frontend]
    /// The pools that `Frontend.Action` refers to by index.
    package var pools: [Pool]
    /// The IPVS scheduler that the Service asks for; nil for the node's default.
    package var scheduler: String?
    /// The weights of endpoint addresses; an address that is missing has weight 1.
    package var weights: [IPAddress: UInt16] = [:]
    package var healthCheck: HealthCheck?
    /// The ports that the daemon forwards itself, sorted by key; backends ignore them.
    package var forwardedPorts: [ForwardedPort] = []

    package init(service: String, frontends: [Frontend] = [], pools: [Pool] = []) {
        self.service = service
        self.frontends = frontends
        self.pools = pools
    }
}

/// The answer to load balancers that ask this node about a Service (`spec.healthCheckNodePort`).
package struct HealthCheck: Sendable, Hashable {
    package let port: UInt16
    /// The number of ready endpoints on this node.
    package let localEndpoints: Int

    package init(port: UInt16, localEndpoints: Int) {
        (self.port, self.localEndpoints) = (port, localEndpoints)
    }
}

/// A traffic policy Local without an endpoint on this node, while other nodes have some.
package struct LocalGap: Sendable, Hashable {
    package let family: IPFamily
    package let isExternal: Bool

    package init(family: IPFamily, isExternal: Bool) {
        (self.family, self.isExternal) = (family, isExternal)
    }
}

/// An endpoint that connections may be sent to.
package struct Endpoint: Sendable, Hashable {
    package let address: IPAddress
    package let port: UInt16
    /// Whether the endpoint runs on this node.
    package let isLocal: Bool

    package init(_ address: IPAddress, _ port: UInt16, isLocal: Bool) {
        self.address = address
        self.port = port
        self.isLocal = isLocal
    }
}

extension Endpoint {
    package var place: AddressAndPort { AddressAndPort(address, port) }
}

extension Endpoint: Comparable {
    package static func < (left: Self, right: Self) -> Bool {
        (left.address, left.port) < (right.address, right.port)
    }
}

extension Endpoint: CustomStringConvertible {
    package var description: String { place.description }
}

/// The endpoints over which new connections are spread.
package struct Pool: Sendable, Hashable {
    /// The largest number of endpoints over which mode nftables spreads connections; further
    /// endpoints get none.
    package static let largestSize = 1 << 15

    /// The endpoints that get new connections, sorted, without duplicates.
    package var endpoints: [Endpoint]
    /// Terminating endpoints that still serve: they keep their connections and get no new ones.
    package var draining: [Endpoint]

    package init(_ endpoints: [Endpoint], draining: [Endpoint] = []) {
        self.endpoints = endpoints
        self.draining = draining
    }
}

/// One address, protocol and port that clients connect to, and what happens to their connections.
package struct Frontend: Sendable, Hashable {
    package enum Kind: UInt8, Sendable, Hashable {
        case clusterIP, externalIP, loadBalancerVIP, nodePort
    }

    package enum Action: Sendable, Hashable {
        /// Every client gets an endpoint of the pool with this index.
        case balance(pool: Int)
        /// External traffic policy Local: pods and the node itself get an endpoint of the pool
        /// `cluster`, other clients one of the pool `local`, or no answer if `local` is nil.
        case split(cluster: Int, local: Int?)
        /// There is no endpoint anywhere: connections are refused at once.
        case reject
        /// Internal traffic policy Local without a local endpoint: packets are dropped.
        case drop

        /// The pool for clients that are neither pods nor the node itself; nil if nothing serves
        /// them.
        package var outerPool: Int? {
            switch self {
            case .balance(let pool): pool
            case .split(_, let local): local
            case .reject, .drop: nil
            }
        }
    }

    /// The clients whose source address becomes the node's, so that answers come back through it.
    package enum Masquerade: UInt8, Sendable, Hashable {
        case everyone
        /// All clients but pods, as far as the node can recognize pods.
        case nonPods
        /// Only the node's own processes.
        case node
    }

    package var key: FrontendKey
    package var kind: Kind
    /// The name of the Service's port; may be empty.
    package var portName: String
    package var action: Action
    package var masquerade: Masquerade
    /// How long a client stays with its endpoint, in seconds; nil without ClientIP affinity.
    package var affinityTimeout: UInt32?
    /// The source addresses that may connect, sorted and without overlaps; nil if all may.
    package var allowedSources: [IPPrefix]?

    package init(
        key: FrontendKey,
        kind: Kind,
        portName: String,
        action: Action,
        masquerade: Masquerade,
        affinityTimeout: UInt32? = nil,
        allowedSources: [IPPrefix]? = nil
    ) {
        self.key = key
        self.kind = kind
        self.portName = portName
        self.action = action
        self.masquerade = masquerade
        self.affinityTimeout = affinityTimeout
        self.allowedSources = allowedSources
    }
}

extension ServicePlan {
    /// Returns the pools of a frontend.
    ///
    /// If it splits its clients, `cluster` is for pods and the node itself and `local` for all
    /// others. Otherwise `cluster` is for everyone.
    package func pools(of frontend: Frontend) -> (cluster: Pool?, local: Pool?) {
        switch frontend.action {
        case .balance(let pool): (pools[pool], nil)
        case .split(let cluster, let local): (pools[cluster], local.map { pools[$0] })
        case .reject, .drop: (nil, nil)
        }
    }

    package var localGaps: Set<LocalGap> {
        Set(
            frontends.compactMap { frontend in
                switch frontend.action {
                case .drop, .split(_, local: nil):
                    LocalGap(
                        family: frontend.key.address.family,
                        isExternal: frontend.kind != .clusterIP
                    )
                case .balance, .split, .reject: nil
                }
            }
        )
    }

    /// Returns a name as in `default/web:http`, or `default/web` for an unnamed port.
    package func portLabel(_ frontend: Frontend) -> String {
        frontend.portName.isEmpty ? service : "\(service):\(frontend.portName)"
    }
}
