internal import EmbeddedAPIServer
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

    /// Creates a Service and its EndpointSlice.
    func apply(_ index: Int, to server: APIServer) throws {
        try server.apply([
            "kind": "Service", "metadata": ["name": .string(name(index)), "namespace": "bench"],
            "spec": [
                "clusterIP": .string(address(index)), "ports": [["name": "http", "port": 80]],
            ],
        ])
        try applySlice(index, replaced: 0, to: server)
    }

    /// Replaces one of a Service's endpoints; the next 62 rounds give it other addresses, and none but round 0 its first.
    func applySlice(_ index: Int, replaced round: Int, to server: APIServer) throws {
        let pods = (0..<endpoints).map { number -> JSONValue in
            // No two Services have the same pods.
            let host = UInt32(number > 0 ? 63 + number : round == 0 ? 0 : 1 + round % 63)
            let pod = IPAddress(ipv4: 0x0A80_0000 + UInt32(index) << 7 + host)
            return ["addresses": [.string("\(pod)")]]
        }
        try server.apply([
            "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": [
                "name": .string("\(name(index))-1"), "namespace": "bench",
                "labels": ["kubernetes.io/service-name": .string(name(index))],
            ],
            "ports": [["name": "http", "port": 8080]], "endpoints": .array(pods),
        ])
    }

    private func name(_ index: Int) -> String { "service-\(index)" }
}
