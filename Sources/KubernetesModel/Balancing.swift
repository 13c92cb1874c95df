package import NetworkTypes

/// How IPVS is to balance a Service, as its annotations say.
package struct Balancing: Sendable, Hashable {
    /// Nil: the node's scheduler.
    package var scheduler: String?
    /// The first that matches an endpoint gives its weight; without one it is 1.
    package var weights: [Weight] = []

    package struct Weight: Sendable, Hashable {
        package enum Selector: Sendable, Hashable {
            case addresses(IPPrefix)
            case node(String)
        }

        package let selector: Selector
        /// 0 takes no new connections.
        package let weight: UInt16
    }

    package init() {}

    package static let schedulerAnnotation = "ipvs.needletail.io/scheduler"
    package static let weightsAnnotation = "ipvs.needletail.io/weights"

    /// Those of Linux 6.12 (`net/netfilter/ipvs/Kconfig`).
    package static let schedulers: Set<String> = [
        "rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq",
        "twos",
    ]
}

extension Balancing {
    /// Reads the values of the annotations; empty ones say nothing.
    init(scheduler: String, weights: String, _ reader: inout FieldReader) {
        self.init()
        if Self.schedulers.contains(scheduler) {
            self.scheduler = scheduler
        } else if !scheduler.isEmpty {
            reader.report(
                "metadata.annotations[\(Self.schedulerAnnotation)]",
                "\"\(scheduler)\" is none of IPVS's schedulers"
                    + " (\(Self.schedulers.sorted().joined(separator: ", ")))"
            )
        }
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
            self.weights.append(
                Weight(selector: prefix.map { .addresses($0) } ?? .node(parts[0]), weight: weight)
            )
        }
    }

    /// The weight of an endpoint.
    package func weight(of address: IPAddress, on node: String?) -> UInt16 {
        let match = weights.first { entry in
            switch entry.selector {
            case .addresses(let prefix): prefix.contains(address)
            case .node(let name): name == node
            }
        }
        return match?.weight ?? 1
    }
}
