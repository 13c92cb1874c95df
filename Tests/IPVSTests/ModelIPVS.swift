@testable import IPVS
import NetworkTypes
import TestSupport

/// A model of ip_vs: it holds virtual servers and chooses destinations for new connections.
///
/// It models the schedulers rr, wrr, lc, wlc, sh and mh. The hash of a client is the low half of
/// its address, plus its port where ports count.
struct ModelIPVS {
    var servers: [FrontendKey: Server] = [:]

    struct Target {
        var destination: Destination
        /// The last weight that was not 0, which Maglev goes by.
        var lastWeight: UInt32
        var connections = 0

        init(_ destination: Destination) {
            (self.destination, lastWeight) = (destination, destination.weight)
        }

        var weight: Int { Int(destination.weight) }

        mutating func set(_ weight: UInt32) {
            destination.weight = weight
            if weight != 0 { lastWeight = weight }
        }
    }

    mutating func perform(_ operations: [ServerOperation]) {
        for operation in operations {
            let key = operation.key
            switch operation {
            case .add(let server): servers[key] = Server(server)
            case .set(let server):
                let targets = servers[key]?.targets ?? []
                servers[key] = Server(server)
                servers[key]?.targets = targets
            case .remove: servers[key] = nil
            case .addDestination(let destination, _):
                servers[key]?.targets.append(Target(destination))
            case .setDestination(let destination, _):
                let index = servers[key]?.targets.firstIndex { $0.destination.id == destination.id }
                if let index { servers[key]?.targets[index].set(destination.weight) }
            case .removeDestination(let id, _):
                servers[key]?.targets.removeAll { $0.destination.id == id }
            }
        }
    }

    /// What has been programmed, without what the kernel has made of it.
    var contents: [FrontendKey: VirtualServer] {
        servers.mapValues { server in
            var contents = server.attributes
            contents.destinations = server.targets.map(\.destination).sorted { $0.id < $1.id }
            return contents
        }
    }
}

extension ModelIPVS {
    /// A virtual server, and what it knows about its clients.
    struct Server {
        var attributes: VirtualServer
        var targets: [Target] = []
        /// The length of the prefix that the clients of one template have in common.
        var mask: Int
        private var templates: [IPPrefix: (place: Destination.ID, end: Int)] = [:]
        private var position = -1
        private var currentWeight = 0

        init(_ server: VirtualServer) {
            attributes = server.attributes
            mask = server.key.address.family.bitWidth
        }

        private var slots: [Int] {
            targets.indices.flatMap { index in
                let target = targets[index]
                // sh gives everybody a slot, mh only those that have ever had a weight.
                let count =
                    attributes.scheduler == "sh" ? max(target.weight, 1) : Int(target.lastWeight)
                return repeatElement(index, count: count)
            }
        }

        /// The number of new connections after which everybody has had their share.
        var period: Int {
            switch attributes.scheduler {
            case "rr", "lc": targets.count { $0.weight > 0 }
            case "sh", "mh": slots.count
            default: targets.reduce(0) { $0 + $1.weight }
            }
        }

        struct Choice {
            let place: Destination.ID
            let isRemembered: Bool
        }

        /// Returns where a new connection goes; nil if it is refused.
        mutating func connect(_ client: IPAddress, port: UInt16 = 0, now: Int = 0) -> Choice? {
            let block = IPPrefix(client, length: mask) ?? IPPrefix(host: client)
            if let known = templates[block], known.end > now,
                targets.contains(where: { $0.destination.id == known.place && $0.weight > 0 })
            {
                return Choice(place: known.place, isRemembered: true)
            }
            guard let index = schedule(Int(client.low & 0xFFFF) + (usesPort ? Int(port) : 0))
            else { return nil }
            targets[index].connections += 1
            let place = targets[index].destination.id
            if let seconds = attributes.persistence {
                templates[block] = (place, now + Int(seconds))
            }
            return Choice(place: place, isRemembered: false)
        }

        private var usesPort: Bool { attributes.flags.contains(.usesPort) }

        private mutating func schedule(_ hash: Int) -> Int? {
            let open = targets.indices.filter { targets[$0].weight > 0 }
            switch attributes.scheduler {
            case "rr":
                position = open.first { $0 > position } ?? open.first ?? -1
                return open.isEmpty ? nil : position
            case "wrr": return open.isEmpty ? nil : nextByWeight()
            case "lc": return open.min { targets[$0].connections < targets[$1].connections }
            case "wlc":
                return open.min {
                    targets[$0].connections * targets[$1].weight
                        < targets[$1].connections * targets[$0].weight
                }
            case "sh", "mh":
                let slots = slots
                guard !slots.isEmpty else { return nil }
                let isFallingBack = attributes.flags.contains(.schedulerFlag1)
                return (0..<(isFallingBack ? slots.count : 1)).lazy
                    .map { slots[(hash + $0) % slots.count] }.first(where: open.contains)
            default: return nil
            }
        }

        /// The heaviest destinations are the first to be chosen, and then lighter ones with them.
        private mutating func nextByWeight() -> Int {
            repeat {
                position += 1
                if position >= targets.count { position = 0 }
                guard position == 0 else { continue }
                currentWeight -= 1
                if currentWeight < 1 { currentWeight = targets.map(\.weight).max() ?? 1 }
            } while targets[position].weight < max(currentWeight, 1)
            return position
        }
    }
}

extension ModelIPVS {
    /// What clients see of a virtual server, found out by connections to it.
    struct Answer: Hashable {
        /// The shares of new connections, in lowest terms.
        var shares: [Destination.ID: Int] = [:]
        /// Whether some new connections are refused.
        var refuses = false
        /// Whether a destination with many connections gets none while others have fewer.
        var avoidsLoad = false
        /// Whether connections of one client may go to several destinations.
        var splitsClients = false
        /// For how many seconds a client stays with its destination.
        var memory: Int?
        /// Whether another client goes where the first one is remembered to go.
        var mixesClients = false
        /// The destinations whose connections live on.
        var kept: Set<Destination.ID> = []
        /// Whether a restarted program knows the server as its own.
        var isOurs = true
    }

    /// Returns what clients see at an address, protocol and port; nil if IPVS does not care.
    func answer(_ key: FrontendKey) -> Answer? { servers[key]?.answer }
}

extension ModelIPVS.Answer {
    /// Divides the shares by what they have in common.
    static func reduced(_ shares: [Destination.ID: Int]) -> [Destination.ID: Int] {
        let divisor = shares.values.reduce(0) { left, right in
            var (left, right) = (left, right)
            while right != 0 { (left, right) = (right, left % right) }
            return left
        }
        return shares.mapValues { $0 / divisor }
    }
}

extension ModelIPVS.Server {
    private func client(_ number: Int) -> IPAddress {
        attributes.key.address.family == .ipv4
            ? IPAddress(ipv4: 0xC633_0000 + UInt32(number))
            : IPAddress(ipv6High: 0x2001_0DB8 << 32, low: UInt64(number))
    }

    /// Returns how often each destination is chosen, and how often nobody is, in one period.
    private func spread(
        isLoaded: Bool = false,
        _ connect: (inout Self, Int) -> Choice?
    ) -> [Destination.ID?: Int] {
        var server = self
        if isLoaded, let first = server.targets.firstIndex(where: { $0.weight > 0 }) {
            server.targets[first].connections = 1 << 20
        }
        return (0..<max(period, 1)).reduce(into: [:]) { counts, number in
            counts[connect(&server, number)?.place, default: 0] += 1
        }
    }

    fileprivate var answer: ModelIPVS.Answer {
        let byClient = spread { $0.connect(client($1)) }
        let loaded = spread(isLoaded: true) { $0.connect(client($1)) }
        let byPort = spread { $0.connect(client(0), port: UInt16($1)) }
        var served: [Destination.ID: Int] = [:]
        for case (let place?, let count) in byClient { served[place] = count }
        return ModelIPVS.Answer(
            shares: ModelIPVS.Answer.reduced(served),
            refuses: byClient[nil] != nil,
            avoidsLoad: loaded.count < byClient.count,
            splitsClients: byPort.keys.count { $0 != nil } > 1,
            memory: memory,
            mixesClients: mixesClients,
            kept: Set(targets.map(\.destination.id)),
            isOurs: attributes.flags.contains(.ours)
        )
    }

    /// The server after the first of these clients that is not refused, and that client.
    private var visited: (server: Self, client: Int)? {
        var server = self
        return (0..<max(period, 1)).first { server.connect(client($0)) != nil }
            .map { (server, $0) }
    }

    private var memory: Int? {
        guard let (server, first) = visited else { return nil }
        let isRemembered = { (now: Int) in
            var server = server
            return server.connect(client(first), now: now)?.isRemembered == true
        }
        guard isRemembered(0) else { return nil }
        var (least, most) = (0, 1 << 17)
        while most - least > 1 {
            let middle = (least + most) / 2
            if isRemembered(middle) { least = middle } else { most = middle }
        }
        return most
    }

    private var mixesClients: Bool {
        guard let (visited, first) = visited else { return false }
        var server = visited
        return server.connect(client(first ^ 1))?.isRemembered == true
    }
}
