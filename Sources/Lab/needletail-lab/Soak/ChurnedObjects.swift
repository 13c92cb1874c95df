internal import EmbeddedAPIServer

/// Services, EndpointSlices and Nodes that are created, changed and deleted at random.
///
/// Names never come again; addresses and ports do, so each of them goes from Service to Service.
struct ChurnedObjects {
    /// The most Services at a time.
    static let mostServices = 400
    private static let namespace = "churn"
    private static let zones = ["a", "b", "c"]

    private struct Live {
        let name: String
        /// Chooses the addresses and ports, which no other Service has at the same time.
        let place: Int
        var hasSlice = true
    }

    private let server: APIServer
    private var generator: SplitMix
    private var live: [Live] = []
    private var free = Array(0..<mostServices)
    private var created = 0
    private var hasOtherNode = false

    init(_ server: APIServer, seed: UInt64) {
        self.server = server
        generator = SplitMix(seed: seed)
    }

    private mutating func number(_ range: Range<Int>) -> Int {
        Int.random(in: range, using: &generator)
    }

    private mutating func chance(_ percent: Int) -> Bool { number(0..<100) < percent }

    /// Makes one change, or the changes that a Service and its slice need.
    mutating func act() throws {
        switch number(0..<100) {
        case 0..<30 where !free.isEmpty: try create()
        case 0..<45 where !live.isEmpty: delete(number(0..<live.count))
        case 45..<75 where !live.isEmpty: try changeEndpoints(number(0..<live.count))
        case 75..<90 where !live.isEmpty: try server.apply(service(live[number(0..<live.count)]))
        case 90..<95 where !live.isEmpty: try toggleSlice(number(0..<live.count))
        default: try changeNodes()
        }
    }

    /// Deletes everything, and makes the node what it was.
    mutating func removeAll() throws {
        while !live.isEmpty { delete(live.count - 1) }
        if hasOtherNode { server.delete("Node", "", "node2") }
        hasOtherNode = false
        try server.apply(["kind": "Node", "metadata": ["name": "node1"]])
    }

    // MARK: Services

    private mutating func create() throws {
        let place = free.remove(at: number(0..<free.count))
        created += 1
        let new = Live(name: "service-\(created)", place: place)
        live.append(new)
        try server.apply(service(new))
        try server.apply(slice(new))
    }

    private mutating func delete(_ index: Int) {
        let gone = live.remove(at: index)
        server.delete("Service", Self.namespace, gone.name)
        if gone.hasSlice { server.delete("EndpointSlice", Self.namespace, "\(gone.name)-1") }
        free.append(gone.place)
    }

    private mutating func changeEndpoints(_ index: Int) throws {
        live[index].hasSlice = true
        try server.apply(slice(live[index]))
    }

    private mutating func toggleSlice(_ index: Int) throws {
        guard live[index].hasSlice else { return try changeEndpoints(index) }
        live[index].hasSlice = false
        server.delete("EndpointSlice", Self.namespace, "\(live[index].name)-1")
    }

    /// A Service with another choice of everything that may change.
    private mutating func service(_ live: Live) -> JSONValue {
        let place = live.place
        var spec: JSONValue = [
            "clusterIP": .string("10.97.\(place / 250).\(1 + place % 250)"),
            "internalTrafficPolicy": chance(10) ? "Local" : "Cluster",
        ]
        var ports: [JSONValue] = [["name": "http", "port": 80, "protocol": "TCP"]]
        if chance(40) { ports.append(["name": "dns", "port": 53, "protocol": "UDP"]) }
        if chance(20) {
            spec["sessionAffinity"] = "ClientIP"
            let seconds = [60, 3600, 10_800][number(0..<3)]
            spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"] = .integer(Int64(seconds))
        }
        if chance(10) {
            spec["externalIPs"] = [.string("198.51.\(100 + place / 250).\(place % 250)")]
        }
        let isOutside = chance(30)
        if isOutside {
            for index in ports.indices {
                ports[index]["nodePort"] = .integer(Int64(30_000 + 2 * place + index))
            }
            spec["type"] = "NodePort"
        }
        spec["ports"] = .array(ports)
        var status: JSONValue = .null
        if isOutside, chance(50) {
            spec["type"] = "LoadBalancer"
            status["loadBalancer"] = [
                "ingress": [["ip": .string("203.0.\(113 + place / 250).\(place % 250)")]]
            ]
            if chance(50) {
                spec["externalTrafficPolicy"] = "Local"
                spec["healthCheckNodePort"] = .integer(Int64(31_000 + place))
            }
            if chance(30) { spec["loadBalancerSourceRanges"] = ["10.0.0.0/8", "192.0.2.0/24"] }
        }
        return [
            "kind": "Service", "spec": spec, "status": status,
            "metadata": ["name": .string(live.name), "namespace": .string(Self.namespace)],
        ]
    }

    private mutating func slice(_ live: Live) -> JSONValue {
        let endpoints = (0..<number(0..<12)).map { index -> JSONValue in
            let zone = JSONValue.string(Self.zones[number(0..<3)])
            return [
                "addresses": [
                    .string("10.244.\(2 + live.place % 200).\(1 + 20 * index + number(0..<20))")
                ],
                "nodeName": chance(20) ? "node1" : "node2",
                "zone": zone, "hints": ["forZones": [["name": zone]]],
                "conditions": ["ready": .bool(chance(90)), "serving": true, "terminating": false],
            ]
        }
        return [
            "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": .array(endpoints),
            "metadata": [
                "name": .string("\(live.name)-1"), "namespace": .string(Self.namespace),
                "labels": ["kubernetes.io/service-name": .string(live.name)],
            ],
            "ports": [
                ["name": "http", "port": 8080, "protocol": "TCP"],
                ["name": "dns", "port": 5353, "protocol": "UDP"],
            ],
        ]
    }

    // MARK: Nodes

    private mutating func changeNodes() throws {
        if chance(30) {
            if hasOtherNode {
                server.delete("Node", "", "node2")
            } else {
                try server.apply(["kind": "Node", "metadata": ["name": "node2"]])
            }
            hasOtherNode.toggle()
            return
        }
        if chance(10) { server.delete("Node", "", "node1") }
        let zone = JSONValue.string(Self.zones[number(0..<3)])
        try server.apply([
            "kind": "Node",
            "metadata": ["name": "node1", "labels": ["topology.kubernetes.io/zone": zone]],
        ])
    }
}
