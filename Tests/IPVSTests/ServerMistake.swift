@testable import IPVS
import NetworkTypes
import TestSupport

/// Something wrong with a virtual server.
struct ServerMistake {
    let kind: String
    /// Where it shows.
    let key: FrontendKey
    /// Why nobody can tell; nil: somebody can.
    var reason: String?
    let make: (inout ModelIPVS) -> Void

    /// Returns every mistake that this server can have.
    static func all(
        _ key: FrontendKey,
        _ server: ModelIPVS.Server,
        _ expected: ServerOracle.Expectation
    ) -> [ServerMistake] {
        places(key, server) + schedulers(key, expected) + affinities(key, expected)
            + flags(key, expected) + destinations(key, server, expected)
    }

    private init(
        _ kind: String,
        _ key: FrontendKey,
        reason: String? = nil,
        _ make: @escaping (inout ModelIPVS) -> Void
    ) {
        (self.kind, self.key, self.reason, self.make) = (kind, key, reason, make)
    }

    /// A mistake of the server itself.
    private init(
        _ kind: String,
        of key: FrontendKey,
        reason: String? = nil,
        _ make: @escaping (inout ModelIPVS.Server) -> Void
    ) {
        self.init(kind, key, reason: reason) { kernel in
            guard var server = kernel.servers[key] else { return }
            make(&server)
            kernel.servers[key] = server
        }
    }

    // MARK: Servers

    private static func places(_ key: FrontendKey, _ server: ModelIPVS.Server) -> [ServerMistake] {
        let address = other(key.address)
        let moved = [
            ("another protocol", FrontendKey(key.address, .sctp, key.port)),
            ("another port", FrontendKey(key.address, key.transport, key.port + 1000)),
            ("another address", FrontendKey(address, key.transport, key.port)),
        ]
        let extra = FrontendKey(key.address, key.transport, key.port + 2000)
        return [
            ServerMistake("no server", key) { $0.servers[key] = nil },
            ServerMistake("an extra server", extra) { $0.servers[extra] = server },
        ]
            + moved.map { kind, other in
                ServerMistake(kind, key) {
                    $0.servers[key] = nil
                    $0.servers[other] = server
                }
            }
    }

    private static func other(_ address: IPAddress) -> IPAddress {
        address.family == .ipv4
            ? IPAddress(ipv4: UInt32(address.low) ^ 0x8000)
            : IPAddress(ipv6High: address.high, low: address.low ^ 0x8000)
    }

    private static func schedulers(
        _ key: FrontendKey,
        _ expected: ServerOracle.Expectation
    ) -> [ServerMistake] {
        ServerSample.schedulers.filter { $0 != expected.scheduler }.compactMap { scheduler in
            var other = expected
            other.scheduler = scheduler
            // Whether its shares are others depends on where its hashes fall.
            guard !other.isUneven || expected.isUneven else { return nil }
            let isAlike = expected.allows(other.answer)
            return ServerMistake(
                "scheduler \(scheduler)",
                of: key,
                reason: isAlike ? "both spread connections to these destinations alike" : nil
            ) {
                $0.attributes.scheduler = scheduler
                $0.attributes.flags =
                    switch scheduler {
                    case "mh": [.ours, .schedulerFlag1, .usesPort]
                    case "sh": [.ours, .schedulerFlag1]
                    default: .ours
                    }
            }
        }
    }

    private static func affinities(
        _ key: FrontendKey,
        _ expected: ServerOracle.Expectation
    ) -> [ServerMistake] {
        let nobody = expected.open.isEmpty ? "nobody is served" : nil
        let unknown = nobody ?? (expected.affinity == nil ? "no client is remembered" : nil)
        let known = nobody ?? (expected.affinity == nil ? nil : "clients are remembered anyway")
        return [
            ServerMistake("affinity one second too long", of: key, reason: unknown) {
                $0.attributes.persistence? += 1
            },
            ServerMistake("affinity one second too short", of: key, reason: unknown) {
                $0.attributes.persistence? -= 1
            },
            ServerMistake("no affinity", of: key, reason: unknown) {
                $0.attributes.persistence = nil
            },
            ServerMistake("affinity for no reason", of: key, reason: known) {
                $0.attributes.persistence = $0.attributes.persistence ?? 60
            },
            ServerMistake("affinity of whole networks", of: key, reason: unknown) {
                $0.mask -= 1
            },
        ]
    }

    private static func flags(
        _ key: FrontendKey,
        _ expected: ServerOracle.Expectation
    ) -> [ServerMistake] {
        let ports: String? =
            if !expected.isHash {
                "only hashes count ports"
            } else if expected.affinity != nil {
                "the client stays anyway"
            } else {
                expected.open.count < 2 ? "there is no choice" : nil
            }
        // Maglev has places only for destinations that have had a weight before.
        let fallback =
            expected.isUneven
            ? [] : ["no hash falls on a destination that drains"] as [String?]
        let reasons = expected.isUneven && expected.scheduler == "sh" ? [nil] : fallback
        return [
            ServerMistake("ports count, or do not", of: key, reason: ports) {
                $0.attributes.flags.formSymmetricDifference(.usesPort)
            },
            ServerMistake("not marked", of: key) { $0.attributes.flags.remove(.ours) },
        ]
            + reasons.map {
                ServerMistake("hashes fall back, or do not", of: key, reason: $0) {
                    $0.attributes.flags.formSymmetricDifference(.schedulerFlag1)
                }
            }
    }

    // MARK: Destinations

    private static func destinations(
        _ key: FrontendKey,
        _ server: ModelIPVS.Server,
        _ expected: ServerOracle.Expectation
    ) -> [ServerMistake] {
        let stranger = Destination(other(key.address), 8080)
        let quiet = Destination(other(key.address), 8080, weight: 0)
        let extra = [
            ServerMistake("an extra destination", of: key) {
                $0.targets.append(ModelIPVS.Target(stranger))
            },
            ServerMistake("an extra destination that drains", of: key) {
                $0.targets.append(ModelIPVS.Target(quiet))
            },
        ]
        guard let last = server.targets.indices.last else { return extra }
        return extra
            + Set([0, last]).sorted().flatMap { destination($0, key, server.targets[$0], expected) }
    }

    private static func destination(
        _ index: Int,
        _ key: FrontendKey,
        _ target: ModelIPVS.Target,
        _ expected: ServerOracle.Expectation
    ) -> [ServerMistake] {
        let (id, isOpen) = (target.destination.id, target.weight > 0)
        let weight: String? =
            if !isOpen {
                "it has none"
            } else if !expected.countsWeights {
                "the scheduler counts no weights"
            } else if expected.isUneven {
                "shares depend on where hashes fall"
            } else {
                expected.open.count < 2 ? "there is no choice" : nil
            }
        return [
            ServerMistake("no destination", of: key) { $0.targets.remove(at: index) },
            ServerMistake("a destination's address", of: key) {
                $0.targets[index].destination.address = other(id.address)
            },
            ServerMistake("a destination's port", of: key) {
                $0.targets[index].destination.port = id.port + 1
            },
            ServerMistake("a destination's weight", of: key, reason: weight) {
                $0.targets[index].set(isOpen ? UInt32(target.weight) + 1 : 0)
            },
            ServerMistake("a destination drains", of: key, reason: isOpen ? nil : "it does") {
                $0.targets[index].set(0)
            },
            ServerMistake(
                "a destination does not drain",
                of: key,
                reason: isOpen ? "it need not" : nil
            ) {
                $0.targets[index].set(isOpen ? UInt32(target.weight) : 1)
            },
        ]
    }
}
