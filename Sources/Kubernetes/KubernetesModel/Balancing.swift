package import NetworkTypes

/// The way IPVS balances the connections of a Service, as set by annotations.
package struct Balancing: Sendable, Hashable {
    /// The name of a scheduler; nil selects the node's scheduler.
    package var scheduler: String?
    /// The weights in order: the first entry that matches an endpoint applies.
    ///
    /// An endpoint that no entry matches has weight 1.
    package var weights: [Weight] = []

    package struct Weight: Sendable, Hashable {
        package enum Selector: Sendable, Hashable {
            case addresses(IPPrefix)
            case node(String)
        }

        package let selector: Selector
        /// The weight of an endpoint; one with weight 0 gets no new connections.
        package let weight: UInt16
    }

    package init() {}

    /// The limit on CIDR blocks, since each endpoint is compared with each block.
    private static let blockLimit = 64

    package static let schedulerAnnotation = "ipvs.needletail.io/scheduler"
    package static let weightsAnnotation = "ipvs.needletail.io/weights"

    /// The schedulers of Linux 6.12 (`net/netfilter/ipvs/Kconfig`).
    package static let schedulers: Set<String> = [
        "rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq",
        "twos",
    ]
}

extension Balancing {
    /// Reads the values of the annotations; an empty value counts as absent.
    init(scheduler: String, weights: String, _ reader: inout FieldReader) {
        self.init()
        if Self.schedulers.contains(scheduler) {
            self.scheduler = scheduler
        } else if !scheduler.isEmpty {
            reader.report(
                "metadata.annotations[\(Self.schedulerAnnotation)]",
                "\"\(scheduler)\" is not one of IPVS's schedulers"
                    + " (\(Self.schedulers.sorted().joined(separator: ", ")))"
            )
        }
        var blocks = 0
        for entry in weights.split(separator: ",") {
            let parts = entry.split(separator: "=").map { $0.filter { !$0.isWhitespace } }
            guard parts.count == 2, !parts[0].isEmpty, let weight = UInt16(parts[1]) else {
                reader.report(
                    "metadata.annotations[\(Self.weightsAnnotation)]",
                    "\"\(entry)\" is not ADDRESS=WEIGHT, CIDR=WEIGHT or NODE=WEIGHT with a weight of"
                        + " 0-65535"
                )
                continue
            }
            let prefix = IPPrefix(parts[0]) ?? IPAddress(parts[0]).map(IPPrefix.init(host:))
            if let prefix, prefix != IPPrefix(host: prefix.base) {
                blocks += 1
                guard blocks <= Self.blockLimit else {
                    reader.report(
                        "metadata.annotations[\(Self.weightsAnnotation)]",
                        "\"\(entry)\" is left out: no more than \(Self.blockLimit) CIDR blocks are read"
                    )
                    continue
                }
            }
            self.weights.append(
                Weight(selector: prefix.map { .addresses($0) } ?? .node(parts[0]), weight: weight)
            )
        }
    }
}

/// An index that finds an endpoint's weight fast, however many entries there are.
package struct WeightTable {
    private typealias Entry = (place: Int, weight: UInt16)

    private var addresses: [IPAddress: Entry] = [:]
    private var nodes: [String: Entry] = [:]
    private var blocks: [(block: IPPrefix, entry: Entry)] = []

    package init(_ balancing: Balancing) {
        for (place, weight) in balancing.weights.enumerated() {
            let entry = (place, weight.weight)
            switch weight.selector {
            case .addresses(let block) where block == IPPrefix(host: block.base):
                addresses[block.base] = addresses[block.base] ?? entry
            case .addresses(let block): blocks.append((block, entry))
            case .node(let name): nodes[name] = nodes[name] ?? entry
            }
        }
    }

    /// Returns the weight of the first entry that matches, or 1 if none does.
    package func weight(of address: IPAddress, on node: String?) -> UInt16 {
        let found = [
            addresses[address], node.flatMap { nodes[$0] },
            blocks.first { $0.block.contains(address) }?.entry,
        ].compactMap(\.self)
        return found.min { $0.place < $1.place }?.weight ?? 1
    }
}
