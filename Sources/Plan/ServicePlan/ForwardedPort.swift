package import NetworkTypes

/// A NodePort on a loopback address of the node.
///
/// The kernel has no rule for it; a forwarder in the daemon serves it (KEP-6032).
package struct ForwardedPort: Sendable, Hashable {
    package let key: FrontendKey
    /// The name of the Service's port; may be empty.
    package let portName: String
    /// The endpoints for connections from the node itself, sorted; the external traffic policy does
    /// not apply to them.
    package let endpoints: [Endpoint]
    /// How long a client stays with its endpoint, in seconds; nil without ClientIP affinity.
    package let affinityTimeout: UInt32?

    package init(
        key: FrontendKey,
        portName: String,
        endpoints: [Endpoint],
        affinityTimeout: UInt32? = nil
    ) {
        self.key = key
        self.portName = portName
        self.endpoints = endpoints
        self.affinityTimeout = affinityTimeout
    }
}
