internal import NetworkNamespaces
internal import NetworkTypes

/// What `up` has built, read from its namespaces.
struct LiveTopology {
    struct Place {
        /// The name without the lab's prefix: `node1`, `pod-web-1`, `client`.
        let name: String
        let namespace: Namespace
        /// The interfaces with their addresses, one line each.
        let interfaces: [String]
        let addresses: [IPAddress]
    }

    let places: [Place]

    init() throws {
        let listed = try Command.run(["ip", "netns", "list"]).split(separator: "\n")
        let names = listed.map { String($0.prefix { $0 != " " }) }
            .filter { $0.hasPrefix(Namespace.prefix) }
            .map { String($0.dropFirst(Namespace.prefix.count)) }
        guard !names.isEmpty else { throw LabError("no lab is up; needletail-lab up builds one") }
        places = try names.sorted().map(Self.place)
    }

    private static func place(_ name: String) throws -> Place {
        let namespace = Namespace(name)
        let lines = try namespace.handle.run(["ip", "-br", "addr", "show"])
            .split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
            .filter { $0.count > 1 && $0[0] != "lo" && !$0[0].hasPrefix("tunl0") }
        let words = lines.flatMap { $0.dropFirst(2) }
        return Place(
            name: name,
            namespace: namespace,
            interfaces: lines.map { words in
                let addresses = words.dropFirst(2).filter { !$0.hasPrefix("fe80:") }
                let name = String(words[0].prefix { $0 != "@" })
                return addresses.isEmpty
                    ? name : ([name.padded(15)] + addresses).joined(separator: " ")
            },
            addresses: words.compactMap { IPAddress(String($0.prefix { $0 != "/" })) }
        )
    }

    /// Returns a place by its name; a pod's prefix may be left out.
    func place(_ name: String) throws -> Place {
        guard let place = places.first(where: { $0.name == name || $0.name == "pod-\(name)" })
        else {
            let names = places.map(\.name).joined(separator: ", ")
            throw LabError("the lab has no \(name), only \(names)")
        }
        return place
    }

    /// The nodes, each with its pods, and then the others.
    var text: String {
        get throws {
            var lines: [String] = []
            for node in nodes {
                lines.append("\(node.name)\(try Self.mode(node).map { ", mode \($0)" } ?? "")")
                lines += node.interfaces.map { "  \($0)" }
                for pod in pods where Self.isOn(node, pod) {
                    lines.append("  \(pod.name)")
                    lines += pod.interfaces.map { "    \($0)" }
                }
            }
            for place in places where Self.others.contains(place.name) {
                lines.append(place.name)
                lines += place.interfaces.map { "  \($0)" }
            }
            return lines.joined(separator: "\n")
        }
    }

    private var pods: [Place] { places.filter { $0.name.hasPrefix("pod-") } }

    private var nodes: [Place] {
        places.filter { !$0.name.hasPrefix("pod-") && !Self.others.contains($0.name) }
    }

    /// The places that are neither nodes nor pods.
    private static let others = ["api", "client", "switch"]

    /// What the proxy of a node says about its mode; nil if none runs.
    private static func mode(_ node: Place) throws -> String? {
        let proxy = try FrontendKey("127.0.0.1", .tcp, 10_249)
        return try HTTPRequest(path: "/proxyMode").body(of: proxy, from: node.namespace)
    }

    /// Addresses 172.31.S.10+N and 10.244.N.x tell a node's number.
    private static func isOn(_ node: Place, _ pod: Place) -> Bool {
        let numbers = node.addresses.map { "\($0)" }.filter { $0.hasPrefix("172.31.") }
            .compactMap { $0.split(separator: ".").last.flatMap { Int($0) } }
        return pod.addresses.contains { address in
            numbers.contains { "\(address)".hasPrefix("10.244.\($0 - 10).") }
        }
    }
}
