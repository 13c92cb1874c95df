package import NetworkTypes

/// What the kernel knows about a frontend apart from its configuration.
package struct FrontendInspection: Sendable, Hashable {
    /// The endpoint to which the kernel sends the client again; nil if it remembers none.
    package var rememberedEndpoint: AddressAndPort?
    /// The endpoints of the frontend with their counts, sorted; nil if the kernel does not count
    /// per endpoint.
    package var destinations: [DestinationInspection]?

    package init(
        rememberedEndpoint: AddressAndPort? = nil,
        destinations: [DestinationInspection]? = nil
    ) {
        (self.rememberedEndpoint, self.destinations) = (rememberedEndpoint, destinations)
    }
}

/// An endpoint that IPVS balances over, with its counts since IPVS has had it.
package struct DestinationInspection: Sendable, Hashable {
    package let endpoint: AddressAndPort
    /// The share of new connections; with 0 the endpoint keeps its connections and gets no new
    /// ones.
    package let weight: UInt32
    package let activeConnections: Int
    /// The number of connections that are closing or not yet open.
    package let inactiveConnections: Int
    package let connections: UInt64
    package let bytesIn: UInt64
    package let bytesOut: UInt64

    package init(
        endpoint: AddressAndPort,
        weight: UInt32,
        activeConnections: Int,
        inactiveConnections: Int,
        connections: UInt64,
        bytesIn: UInt64,
        bytesOut: UInt64
    ) {
        (self.endpoint, self.weight) = (endpoint, weight)
        (self.activeConnections, self.inactiveConnections) =
            (activeConnections, inactiveConnections)
        (self.connections, self.bytesIn, self.bytesOut) = (connections, bytesIn, bytesOut)
    }
}
