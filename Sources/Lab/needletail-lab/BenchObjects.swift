internal import EmbeddedAPIServer
internal import KubernetesModel
internal import NetworkTypes

/// The objects of many Services, `bench/service-0` and so on.
struct BenchObjects {
    let endpoints: Int

    /// The cluster IP of a Service.
    func address(_ index: Int) -> String {
        "10.\(96 + index >> 16).\(index >> 8 & 255).\(index & 255)"
    }

    /// Creates the Services that every node waits for: the API server's and DNS.
    func applyFirst(to server: APIServer) throws {
        let services: [(String, String, String, Int64, JSONValue)] = [
            ("default", "kubernetes", "10.112.0.1", 443, "TCP"),
            ("kube-system", "kube-dns", "10.112.0.10", 53, "UDP"),
        ]
        for (namespace, name, address, port, transport) in services {
            let ports: JSONValue = [
                ["name": "main", "protocol": transport, "port": .integer(port)]
            ]
            let metadata: JSONValue = ["name": .string(name), "namespace": .string(namespace)]
            try server.apply([
                "kind": "Service", "metadata": metadata,
                "spec": ["clusterIP": .string(address), "ports": ports],
            ])
            var labelled = metadata
            labelled["labels"] = ["kubernetes.io/service-name": .string(name)]
            try server.apply([
                "kind": "EndpointSlice", "addressType": "IPv4", "metadata": labelled,
                "ports": ports,
                "endpoints": [["addresses": ["192.0.2.3"]]],
            ])
        }
    }

    /// Creates a Service and its EndpointSlices.
    func apply(_ index: Int, to server: APIServer) throws {
        try applyService(index, to: server)
        let pods = pods()
        for place in stride(from: 0, to: endpoints, by: Self.sliceSize) {
            try applySlice(index, with: place, of: pods, to: server)
        }
    }

    /// Replaces one of a Service's endpoints; the next 62 rounds give it other addresses, and none but round 0 its first.
    func applySlice(_ index: Int, replaced round: Int, to server: APIServer) throws {
        var pods = pods()
        pods[0].generation = round
        try applySlice(index, with: 0, of: pods, to: server)
    }

    /// Changes a Service and its first EndpointSlice so that their plan stays the same.
    ///
    /// - Parameter round: differs from that of the last call by 1
    func touch(_ index: Int, _ pods: [Pod], round: Int, to server: APIServer) throws {
        // A Service without external addresses has no use for this policy.
        try applyService(index, policy: round % 2 == 0 ? .null : "Local", to: server)
        let time = "2026-01-01T00:00:0\(round % 2)Z"
        try applySlice(
            index,
            with: 0,
            of: pods,
            annotations: ["endpoints.kubernetes.io/last-change-trigger-time": .string(time)],
            to: server
        )
    }

    private func applyService(
        _ index: Int,
        policy: JSONValue = .null,
        to server: APIServer
    ) throws {
        var service: JSONValue = [
            "kind": "Service", "metadata": ["name": .string(name(index)), "namespace": "bench"],
            "spec": [
                "clusterIP": .string(address(index)), "ports": [["name": "http", "port": 80]],
            ],
        ]
        service["spec"]["externalTrafficPolicy"] = policy
        try server.apply(service)
    }

    // MARK: Pods

    /// One of a Service's pods.
    struct Pod {
        enum Condition { case ready, notReady, gone }
        /// The number of pods that it has replaced; none has the address of the one that it replaces.
        var generation = 0
        var condition = Condition.ready
    }

    /// The largest number of endpoints in an EndpointSlice (kube-controller-manager's `--max-endpoints-per-slice`).
    static let sliceSize = 100

    /// A Service's first pods.
    func pods() -> [Pod] { Array(repeating: Pod(), count: endpoints) }

    /// Writes the EndpointSlice that has the pod at a place.
    func applySlice(
        _ index: Int,
        with place: Int,
        of pods: [Pod],
        annotations: JSONValue = .null,
        to server: APIServer
    ) throws {
        let number = place / Self.sliceSize
        let places = number * Self.sliceSize..<min((number + 1) * Self.sliceSize, pods.count)
        let endpoints = places.filter { pods[$0].condition != .gone }.map { place -> JSONValue in
            var endpoint: JSONValue = [
                "addresses": [.string("\(address(index, place, pods[place]))")]
            ]
            if pods[place].condition == .notReady {
                endpoint["conditions"] = ["ready": false, "serving": false]
            }
            return endpoint
        }
        var slice: JSONValue = [
            "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": [
                "name": .string("\(name(index))-\(number + 1)"), "namespace": "bench",
                "labels": ["kubernetes.io/service-name": .string(name(index))],
            ],
            "ports": [["name": "http", "port": 8080]], "endpoints": .array(endpoints),
        ]
        slice["metadata"]["annotations"] = annotations
        try server.apply(slice)
    }

    /// Whether there are addresses for so many Services and their pods.
    func suffices(_ services: Int) -> Bool { services <= (1 << 23) >> bits }

    /// The low bits of a pod's address, which tell the pods of a Service apart.
    private var bits: Int { max(7, Int.bitWidth - (62 + 2 * endpoints).leadingZeroBitCount) }

    /// No two Services have the same pods.
    private func address(_ index: Int, _ place: Int, _ pod: Pod) -> IPAddress {
        let generation = pod.generation
        let host =
            place > 0
            ? 63 + place + generation % 2 * endpoints : generation == 0 ? 0 : 1 + generation % 63
        return IPAddress(ipv4: 0x0A80_0000 + UInt32(index) << bits + UInt32(host))
    }

    private func name(_ index: Int) -> String { "service-\(index)" }

    // MARK: Without an API server

    /// So many Services and their EndpointSlices, as the daemon holds them.
    func values(_ count: Int) -> (services: [Service], slices: [EndpointSlice]) {
        let names = (0..<count).map { ObjectName(namespace: "bench", name: name($0)) }
        let services = names.enumerated().map { index, name in
            var service = Service(name: name)
            service.clusterIPs = [IPAddress(address(index))].compactMap(\.self)
            service.ports = [ServicePort(name: "http", transport: .tcp, port: 80)]
            return service
        }
        let slices = names.enumerated().flatMap { index, name in
            stride(from: 0, to: endpoints, by: Self.sliceSize).map { first in
                let own = "\(name.name)-\(first / Self.sliceSize + 1)"
                var slice = EndpointSlice(
                    name: ObjectName(namespace: name.namespace, name: own),
                    service: name,
                    family: .ipv4
                )
                slice.ports = [EndpointPort(name: "http", transport: .tcp, port: 8080)]
                slice.endpoints = (first..<min(first + Self.sliceSize, endpoints)).map { place in
                    SliceEndpoint(address: address(index, place, Pod()))
                }
                return slice
            }
        }
        return (services, slices)
    }
}
