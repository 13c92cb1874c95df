internal import ArgumentParser
internal import EmbeddedAPIServer
internal import FoundationEssentials
internal import Glibc
internal import KubernetesClient
internal import KubernetesModel
internal import Logging
internal import NetworkNamespaces
internal import Reconciler

/// Measures how long a process takes to read a cluster, and how much memory it needs.
///
/// Each row is measured in a new process, so that rows do not share memory.
struct ReadingBench {
    let objects: Int
    let endpoints: Int

    func run() throws {
        print(
            """

            \(objects) Services and \(objects) EndpointSlices with \(endpoints) endpoints each, \
            read from an API server on loopback and held:

            """
        )
        print(
            "encoding".padded(10) + "by".padded(8) + "time".leftPadded(11)
                + "CPU".leftPadded(11) + "peak".leftPadded(11) + "held".leftPadded(11)
                + "B/object".leftPadded(10)
        )
        for (list, mode) in [
            ("stream", APIServer.Configuration.WatchList.served), ("pages", .refused),
        ] {
            var configuration = APIServer.Configuration()
            configuration.watchList = mode
            let server = APIServer(configuration)
            for index in 0..<objects { try fill(server, index) }
            server.compact()
            let listener = try server.listen()
            listener.start()
            defer { server.stop() }
            for encoding in [WireEncoding.protobuf, .json] {
                let row = try Command.run([
                    try Cluster.program("needletail-lab"), "read", "--master", listener.url,
                    "--content-type", encoding.rawValue, "--objects", "\(objects * 2)",
                ])
                let name = encoding == .protobuf ? "protobuf" : "JSON"
                print(name.padded(10) + list.padded(8) + row, terminator: "")
            }
        }
    }

    private func fill(_ server: APIServer, _ index: Int) throws {
        let name = "service-\(index)"
        let metadata: JSONValue = [
            "namespace": "bench",
            "labels": [
                "app.kubernetes.io/name": .string(name), "app.kubernetes.io/part-of": "bench",
                "kubernetes.io/service-name": .string(name),
            ],
            "annotations": ["example.org/owner": "team-\(index % 100)"],
        ]
        var service: JSONValue = [
            "kind": "Service", "metadata": metadata,
            "spec": [
                "clusterIP": "10.\(100 + index >> 16).\(index >> 8 & 255).\(index & 255)",
                "ports": [["name": "http", "port": 80, "targetPort": 8080]],
                "selector": ["app.kubernetes.io/name": .string(name)],
            ],
        ]
        service["metadata"]["name"] = .string(name)
        var slice: JSONValue = [
            "kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4",
            "ports": [["name": "http", "protocol": "TCP", "port": 8080]],
            "endpoints": .array(
                (0..<endpoints).map { number in
                    [
                        "addresses": ["10.\(index >> 8 & 255).\(index & 255).\(number + 1)"],
                        "conditions": ["ready": true, "serving": true, "terminating": false],
                        "nodeName": "ip-10-0-0-\((index + number) % 100).example.internal",
                        "zone": "zone-\(number % 3)",
                        "targetRef": [
                            "kind": "Pod", "namespace": "bench",
                            "name": "\(name)-5d4f8c7b9-\(number)",
                            "uid": "8f14e45f-ceea-467f-a0e6-\(100_000_000_000 + index)",
                        ],
                    ]
                }
            ),
        ]
        slice["metadata"]["name"] = .string("\(name)-abcde")
        try server.apply(service)
        try server.apply(slice)
    }
}

extension JSONValue: ExpressibleByStringInterpolation {}

/// One row of the benchmark, run as a separate process.
struct ReadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "read",
        abstract: "Read a cluster once and say what it took.",
        shouldDisplay: false
    )

    @Option var master: String
    @Option var contentType: String
    @Option var objects: Int

    func run() async throws {
        let before = Resources()
        let cluster = HeldCluster()
        let (lists, arrived) = AsyncStream<Void>.makeStream()
        let client = APIClient(
            Credentials(server: master),
            encoding: WireEncoding(rawValue: contentType) ?? .protobuf
        )
        let logger = Logger(label: "read") { StreamLogHandler.standardError(label: $0) }
        let services = Informer<Service>(client, nodeName: "bench", logger: logger)
        let slices = Informer<EndpointSlice>(client, nodeName: "bench", logger: logger)
        let start = ContinuousClock.now
        let followers = [
            Task {
                await services.run { event, _ in
                    guard case .replaced(let list, _) = event else { return }
                    await cluster.update { $0.replaceServices(list) }
                    arrived.yield()
                }
            },
            Task {
                await slices.run { event, _ in
                    guard case .replaced(let list, _) = event else { return }
                    await cluster.update { $0.replaceEndpointSlices(list) }
                    arrived.yield()
                }
            },
        ]
        var iterator = lists.makeAsyncIterator()
        for _ in followers { await iterator.next() }
        let time = ContinuousClock.now - start
        // The followers still hold the list.
        for follower in followers {
            follower.cancel()
            await follower.value
        }
        let after = Resources()
        let columns = [
            time.formattedMilliseconds,
            (after.processorTime - before.processorTime).formattedMilliseconds,
            "\(after.peak >> 10) KiB", "\(after.resident >> 10) KiB",
        ]
        let each = (after.resident - before.resident) / objects
        print(columns.map { $0.leftPadded(11) }.joined() + "\(each)".leftPadded(10))
        withExtendedLifetime(cluster) {}
    }
}

private actor HeldCluster {
    private var state = ClusterState(nodeName: "bench")

    func update(_ body: @Sendable (inout ClusterState) -> Void) { body(&state) }
}

/// The resources used by this process, with memory in bytes.
struct Resources {
    let processorTime: Duration
    let peak: Int
    let resident: Int

    init() {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        processorTime =
            .seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
            + .microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
        let memory = ProcessMemory(of: getpid())
        (peak, resident) = (memory?.peak ?? 0, memory?.resident ?? 0)
    }
}
