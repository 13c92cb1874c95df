package import NetworkTypes

/// The shape of a set or map: what nft's `typeof`, `flags` and `size` say.
package struct SetDefinition: Sendable, Hashable {
    /// What a map maps its keys to.
    package enum Data: Sendable, Hashable {
        case fields([PacketField])
        /// `goto` the chain `rememberFor` of so many seconds; they are what an element's data hold.
        case affinityTimeout
    }

    package let id: SetID
    package let key: [PacketField]
    /// Nil for a set.
    package var data: Data?
    /// Of ranges; only sets of single fields are.
    package var isInterval = false
    /// The rules add elements, which expire.
    package var isDynamic = false
    package var size: UInt32?
    /// Seconds after which the kernel forgets an element; we only ever add some.
    package var timeout: UInt32?
    /// Each element counts the packets that have found it.
    package var hasCounter = false

    package init(_ id: SetID) {
        self.id = id
        switch id {
        case .endpoints, .localEndpoints:
            key = PacketField.frontend + [.random(modulus: .max, offset: 0)]
            data = .fields(PacketField.endpoint)
        case .affinity:
            // nft 1.0.6 and 1.1.3 crash if the type is that of `jhash`.
            key = [.random(modulus: .max, offset: 0)] + PacketField.frontend
            data = .fields(PacketField.endpoint)
            isDynamic = true
            // At least 64 frontends with every bucket; what is beyond is not sticky.
            size = 64 * ClientBucket.count
        case .clusterIPs: key = [.destinationAddress]
        case .serviceCIDRs:
            key = [.destinationAddress]
            isInterval = true
        case .podCIDRs:
            key = [.sourceAddress]
            isInterval = true
        case .allowedSources, .draining: key = PacketField.frontend + [.sourceAddress]
        case .inherited: key = PacketField.connection
        case .hairpin: key = [.sourceAddress, .destinationAddress]
        case .serviceEndpoints: key = [.sourceAddress, .transportProtocol, .sourcePort]
        case .formerEndpoints:
            key = [.sourceAddress, .transportProtocol, .sourcePort]
            // Conntrack forgets closed connections in two minutes; clients give up later than that.
            timeout = 600
        case .stickyTimeouts:
            key = PacketField.frontend
            data = .affinityTimeout
        case .frontends, .externalFrontends, .localPolicy, .sticky, .masqueradeFrontends,
            .noEndpoints, .noLocalEndpoints, .restricted:
            key = PacketField.frontend
        }
    }

    package var isConcatenation: Bool { key.count > 1 }

    /// The kernel decides what is in the set, so it is neither compared nor counted.
    package var isForgetful: Bool { isDynamic || timeout != nil }

    /// `NFTA_SET_KEY_LEN`, `NFTA_SET_DATA_LEN`: every field takes whole registers.
    package func keyLength(_ family: IPFamily) -> Int { key.registerBytes(family) }
    package func dataLength(_ family: IPFamily) -> Int {
        if case .fields(let fields) = data { fields.registerBytes(family) } else { 0 }
    }
}
