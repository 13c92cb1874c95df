internal import ArgumentParser
internal import EmbeddedAPIServer
internal import NetworkNamespaces

/// How many Services a cluster has, and how many endpoints each of them; written as `1000x5`.
struct ClusterShape: Hashable, CustomStringConvertible, ExpressibleByArgument {
    let services: Int
    let endpoints: Int

    init(services: Int, endpoints: Int) { (self.services, self.endpoints) = (services, endpoints) }

    /// Nil: the text is no shape, or one that the addresses of `BenchObjects` do not suffice for.
    init?(argument: String) {
        let numbers = argument.split(separator: "x").map { Int($0) ?? 0 }
        guard numbers.count == 2, numbers.allSatisfy({ $0 > 0 }),
            BenchObjects(endpoints: numbers[1]).suffices(numbers[0])
        else { return nil }
        self.init(services: numbers[0], endpoints: numbers[1])
    }

    var description: String { "\(services)x\(endpoints)" }
}

/// An API server with many Services, and the namespace of a node that follows it.
struct BenchCluster {
    let shape: ClusterShape
    let namespace: NetworkNamespace
    let objects: BenchObjects
    /// It runs until it is stopped.
    let server: APIServer
    let program: String
    /// What the node's needletail is started with.
    let flags: [String]

    init(_ shape: ClusterShape) throws {
        self.shape = shape
        namespace = try NetworkNamespace()
        try namespace.ip([
            "link set lo up", "link add eth0 type veth peer name eth1", "link set eth1 up",
            "addr add 192.0.2.1/24 dev eth0",
            "link set eth0 up",
        ])
        objects = BenchObjects(endpoints: shape.endpoints)
        let server = APIServer()
        self.server = server
        try server.apply(["kind": "Node", "metadata": ["name": "bench"]])
        try objects.applyFirst(to: server)
        for index in 0..<shape.services { try objects.apply(index, to: server) }
        server.compact()
        let listener = try namespace.inside { try server.listen() }
        listener.start()
        program = try Cluster.program("needletail")
        flags = [
            "--master", listener.url, "--hostname-override", "bench", "--node-ip", "192.0.2.1",
            "--cluster-cidr", "10.128.0.0/9",
        ]
    }

    /// Throws unless the kernel holds what a node would program that started now.
    func expectNoDifference() throws {
        try namespace.run([program, "diff"] + flags)
    }
}
