package import NetworkTypes

/// The shape of a set or map, as nft's `typeof`, `flags` and `size` describe it.
package struct SetDefinition: Sendable, Hashable {
    /// The type of a map's values.
    package enum Data: Sendable, Hashable {
        case fields([PacketField])
        /// A verdict, `goto` a chain `rememberFor`; the data of an `Element` hold the chain's
        /// seconds.
        case affinityTimeout
    }

    package let id: SetID
    package let key: [PacketField]
    /// The type of a map's values; nil for a set.
    package var data: Data?
    /// Whether the elements are ranges; this is possible only for keys of one field.
    package var isInterval = false
    /// Whether the rules add elements, which expire.
    package var isDynamic = false
    package var size: UInt32?
    /// The seconds after which the kernel forgets an element; needletail adds elements and never
    /// deletes them.
    package var timeout: UInt32?
    /// Whether each element counts the packets that match it.
    package var hasCounter = false

    package init(_ id: SetID) {
        self.id = id
        switch id {
        case .endpoints, .localEndpoints:
            key = PacketField.frontend + [.random(modulus: .max, offset: 0)]
            data = .fields(PacketField.endpoint)
        case .affinity:
            // The key has the type of `numgen`, since nft 1.0.6 and 1.1.3 crash with that of
            // `jhash`.
            key = [.random(modulus: .max, offset: 0)] + PacketField.frontend
            data = .fields(PacketField.endpoint)
            isDynamic = true
            // There is room for at least 64 frontends with every bucket; further clients are not
            // remembered.
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
            // Conntrack forgets closed connections after two minutes, but clients may send packets
            // for longer.
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

    /// Whether the kernel adds or forgets elements by itself; such a set is neither compared nor
    /// counted.
    package var isForgetful: Bool { isDynamic || timeout != nil }

    /// The value of `NFTA_SET_KEY_LEN` in bytes; every field takes whole registers of four bytes.
    package func keyLength(_ family: IPFamily) -> Int { key.registerBytes(family) }
    /// The value of `NFTA_SET_DATA_LEN` in bytes; 0 for sets and for maps of verdicts.
    package func dataLength(_ family: IPFamily) -> Int {
        if case .fields(let fields) = data { fields.registerBytes(family) } else { 0 }
    }
}
