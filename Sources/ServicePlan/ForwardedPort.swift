package import NetworkTypes

/// A NodePort on a loopback address of the node, which no rule of the kernel serves: a forwarder of
/// the daemon does (KEP-6032).
package struct ForwardedPort: Sendable, Hashable {
    package let key: FrontendKey
    /// The name of the Service's port; may be empty.
    package let portName: String
    /// Those that the node itself gets, whatever the external traffic policy; sorted.
    package let endpoints: [Endpoint]
    /// Seconds for which clients stay with their endpoint; nil without ClientIP affinity.
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
