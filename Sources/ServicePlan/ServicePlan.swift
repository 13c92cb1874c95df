package import NetworkTypes

/// Everything that one Service means on this node: its frontends and the pools behind them.
///
/// The unit of work of the whole program. Values are canonical: equal meaning is equal value.
package struct ServicePlan: Sendable, Hashable {
    /// The Service's `namespace/name`.
    package let service: String
    /// Sorted by key; no two share one.
    package var frontends: [Frontend]
    /// What `Frontend.Action` points into.
    package var pools: [Pool]
    /// The IPVS scheduler that the Service asks for; nil: the node's.
    package var scheduler: String?
    /// Of endpoints whose weight is not 1.
    package var weights: [IPAddress: UInt16] = [:]
    package var healthCheck: HealthCheck?
    /// Sorted by key; no dataplane has to do with them.
    package var forwardedPorts: [ForwardedPort] = []

    package init(service: String, frontends: [Frontend] = [], pools: [Pool] = []) {
        self.service = service
        self.frontends = frontends
        self.pools = pools
    }
}

/// What load balancers may ask this node about a Service (`spec.healthCheckNodePort`).
package struct HealthCheck: Sendable, Hashable {
    package let port: UInt16
    /// Ready endpoints on this node.
    package let localEndpoints: Int

    package init(port: UInt16, localEndpoints: Int) {
        (self.port, self.localEndpoints) = (port, localEndpoints)
    }
}

/// A traffic policy Local that finds no endpoint on this node, though there are some elsewhere.
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
    /// It runs on this node.
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

/// The endpoints that new connections are spread over.
package struct Pool: Sendable, Hashable {
    /// As many endpoints as mode nftables can spread connections over; the others get none.
    package static let largestSize = 1 << 15

    /// Sorted, without duplicates.
    package var endpoints: [Endpoint]
    /// Terminating endpoints that still serve: they get no new connection, and keep their old
    /// ones.
    package var draining: [Endpoint]

    package init(_ endpoints: [Endpoint], draining: [Endpoint] = []) {
        self.endpoints = endpoints
        self.draining = draining
    }
}

/// One address, protocol and port that clients may use, and what happens to them.
package struct Frontend: Sendable, Hashable {
    package enum Kind: UInt8, Sendable, Hashable {
        case clusterIP, externalIP, loadBalancerVIP, nodePort
    }

    package enum Action: Sendable, Hashable {
        /// Every client gets an endpoint of this pool.
        case balance(pool: Int)
        /// External traffic policy Local: pods and the node itself get one of `cluster`, all
        /// others one of `local`, or no answer if there is none.
        case split(cluster: Int, local: Int?)
        /// No endpoint anywhere: refuse at once.
        case reject
        /// Internal traffic policy Local without a local endpoint: no answer.
        case drop

        /// The pool of clients that are neither pods nor the node itself; nil if nobody serves them.
        package var outerPool: Int? {
            switch self {
            case .balance(let pool): pool
            case .split(_, let local): local
            case .reject, .drop: nil
            }
        }
    }

    /// Whose source address becomes the node's, so that answers come back through it.
    package enum Masquerade: UInt8, Sendable, Hashable {
        case everyone
        /// All but the pods of the cluster, if the node can tell them.
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
    /// Seconds for which a client stays with its endpoint; nil without ClientIP affinity.
    package var affinityTimeout: UInt32?
    /// The only sources that may connect, sorted and without overlaps; nil: everyone.
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
    /// The pools of a frontend: for everyone or for pods and node, and for all others.
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

    /// `default/web:http`, `default/web` for an unnamed port.
    package func portLabel(_ frontend: Frontend) -> String {
        frontend.portName.isEmpty ? service : "\(service):\(frontend.portName)"
    }
}
