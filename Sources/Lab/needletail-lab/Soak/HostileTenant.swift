internal import EmbeddedAPIServer
internal import Synchronization

/// A tenant that may write Services and EndpointSlices in one namespace, and writes the worst
/// objects that an API server admits.
final class HostileTenant: Sendable {
    /// The cluster IP of the tenant's Service with affinity.
    static let stickyIP = "10.96.66.66"
    private static let namespace = "evil"
    private let server: APIServer
    private let state: Mutex<State>

    private struct State {
        var generator: SplitMix
        var written = 0
    }

    init(_ server: APIServer, seed: UInt64) {
        self.server = server
        state = Mutex(State(generator: SplitMix(seed: seed)))
    }

    var written: Int { state.withLock(\.written) }

    /// Writes or deletes one object.
    func act() {
        let (objects, gone) = state.withLock { state in
            state.written += 1
            var draft = Draft(generator: state.generator)
            defer { state.generator = draft.generator }
            return (draft.objects(), draft.gone)
        }
        if let gone {
            server.delete("Service", Self.namespace, gone)
            server.delete("EndpointSlice", Self.namespace, "\(gone)-1")
        }
        for object in objects { _ = try? server.apply(object) }
    }

    /// One random act.
    private struct Draft {
        var generator: SplitMix
        /// The name of the Service to delete, if any.
        var gone: String?

        /// Returns a random number in a range.
        private mutating func number(_ range: Range<Int>) -> Int {
            Int.random(in: range, using: &generator)
        }

        mutating func objects() -> [JSONValue] {
            // Twenty Services at most, so that their content is the problem, not their number.
            let index = number(0..<20)
            let name = "evil-\(index)"
            switch number(0..<12) {
            case 0:
                gone = name
                return []
            case 1:
                let addresses = (0..<number(1..<2000)).map { "225.0.\($0 / 250).\(1 + $0 % 250)" }
                return [service(name, index, ["externalIPs": strings(addresses)])]
            case 2: return [service(name, index, ["externalIPs": strings(others)])]
            case 3: return restricted(name, index)
            case 4:
                let sticky = affinity(seconds: number(1..<86_401))
                return [service(name, index, sticky), slice(name, endpoints: 3)]
            case 5: return manyPorts(name, index)
            case 6: return [service(name, index), slice(name, endpoints: 1000, isBad: true)]
            case 7: return [oddlyNamed(name, index), slice(name, endpoints: 2)]
            case 8:
                let spec: JSONValue = ["externalIPs": strings([SoakNode.pod])]
                return [service(name, index, spec, port: 8080 + number(0..<8))]
            case 9: return [service(name, index), slice(name, endpoints: number(1..<3000))]
            case 10: return spoofed
            default: return [service(name, index), slice(name, endpoints: number(0..<40))]
            }
        }

        /// Addresses that belong to others.
        private var others: [String] {
            [Victim.clusterIP, SoakNode.address, SoakNode.pod, "127.0.0.1", "10.96.0.1", "0.0.0.0"]
        }

        /// Returns a Service with many source ranges on several ports.
        private mutating func restricted(_ name: String, _ index: Int) -> [JSONValue] {
            let ranges = (0..<number(1..<1500)).map { _ in
                "\(number(1..<224)).\(number(0..<256)).\(number(0..<256)).0/\(number(8..<33))"
            }
            var object = service(
                name,
                index,
                ["type": "LoadBalancer", "loadBalancerSourceRanges": strings(ranges)],
                ports: 4
            )
            object["status"] = [
                "loadBalancer": ["ingress": [["ip": .string("203.0.113.\(1 + index)")]]]
            ]
            return [object, slice(name, endpoints: 5)]
        }

        private mutating func manyPorts(_ name: String, _ index: Int) -> [JSONValue] {
            let ports = 50
            return [
                service(name, index, ports: ports),
                slice(name, endpoints: number(1..<300), ports: ports),
            ]
        }

        /// Returns a Service with strange text in fields that the API server does not check.
        private mutating func oddlyNamed(_ name: String, _ index: Int) -> JSONValue {
            var object = service(name, index)
            let odd = ["\u{1B}[2J", "a\r\nb", "\"; }\nflush ruleset\n", "🧵🪡", "\u{0}", "%n%s"]
            object["metadata"]["annotations"] = [
                "needletail.io/scheduler": .string(odd.randomElement(using: &generator) ?? ""),
                "evil": .string(odd.randomElement(using: &generator) ?? ""),
            ]
            return object
        }

        /// The Service that the spoofed clients flood.
        private var spoofed: [JSONValue] {
            var object = service("sticky", 0, affinity(seconds: 10_800))
            object["spec"]["clusterIP"] = .string(HostileTenant.stickyIP)
            object["spec"]["ports"] = [["name": "p0", "protocol": "UDP", "port": 53]]
            var endpoints = slice("sticky", endpoints: 3)
            endpoints["ports"] = [["name": "p0", "protocol": "UDP", "port": 5353]]
            return [object, endpoints]
        }

        private func affinity(seconds: Int) -> JSONValue {
            [
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": [
                    "clientIP": ["timeoutSeconds": .integer(Int64(seconds))]
                ],
            ]
        }

        private func service(
            _ name: String,
            _ index: Int,
            _ spec: JSONValue = [:],
            ports: Int = 1,
            port: Int = 80
        ) -> JSONValue {
            var spec = spec
            spec["clusterIP"] = .string("10.96.66.\(100 + index)")
            spec["ports"] = .array(
                (0..<ports).map {
                    ["name": .string("p\($0)"), "port": .integer(Int64(port + $0))]
                }
            )
            return [
                "kind": "Service", "spec": spec,
                "metadata": [
                    "name": .string(name), "namespace": .string(HostileTenant.namespace),
                ],
            ]
        }

        private func slice(
            _ name: String,
            endpoints: Int,
            ports: Int = 1,
            isBad: Bool = false
        ) -> JSONValue {
            [
                "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": [
                    "name": .string("\(name)-1"), "namespace": .string(HostileTenant.namespace),
                    "labels": ["kubernetes.io/service-name": .string(name)],
                ],
                "ports": .array(
                    (0..<ports).map {
                        ["name": .string("p\($0)"), "port": .integer(Int64(9000 + $0))]
                    }
                ),
                "endpoints": .array(
                    (0..<endpoints).map {
                        let address =
                            isBad
                            ? "169.254.\($0 / 250).\(1 + $0 % 250)"
                            : "10.244.\(100 + $0 / 250).\(1 + $0 % 250)"
                        return ["addresses": [.string(address)]]
                    }
                ),
            ]
        }

        private func strings(_ list: [String]) -> JSONValue { .array(list.map { .string($0) }) }
    }
}
