package import NetworkTypes

/// What the kernel has of a frontend beside its configuration.
package struct FrontendInspection: Sendable, Hashable {
    /// Where the kernel sends the client again; nil: it remembers no endpoint for it.
    package var rememberedEndpoint: AddressAndPort?
    /// What balances the frontend's connections, if that counts them for each endpoint; sorted.
    package var destinations: [DestinationInspection]?

    package init(
        rememberedEndpoint: AddressAndPort? = nil,
        destinations: [DestinationInspection]? = nil
    ) {
        (self.rememberedEndpoint, self.destinations) = (rememberedEndpoint, destinations)
    }
}

/// An endpoint as the kernel balances over it; the counts are since it is there.
package struct DestinationInspection: Sendable, Hashable {
    package let endpoint: AddressAndPort
    /// 0: it keeps its connections and gets no new ones.
    package let weight: UInt32
    package let activeConnections: Int
    /// Connections that are closing or not yet open.
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
