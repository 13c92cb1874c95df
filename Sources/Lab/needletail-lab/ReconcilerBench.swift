internal import ArgumentParser
internal import Backend
internal import CNeedleShim
internal import FoundationEssentials
internal import Glibc
internal import KubernetesModel
internal import Logging
internal import NetworkNamespaces
internal import NetworkTypes
internal import PlanCompiler
internal import Reconciler

/// Measures what lies between decoded objects and the kernel: state, compiler, reconciler, and the kernel itself.
///
/// Each row is measured in a new process, so that rows do not share memory.
struct ReconcilerBench {
    let shapes: [ClusterShape]

    /// Times are in milliseconds, memory in bytes.
    struct Row: Codable {
        let services, endpoints: Int
        /// Of the first sync with all Services, and of that, of the compiler.
        let insert, insertCompiling: Double
        /// Of a sync after which no Service is left, and of another one that has all of them again.
        let delete, insertAgain: Double
        /// On all processors, which tells more than time where others use them too.
        let insertProcessor, deleteProcessor: Double
        /// Of each Service, while all are held: its objects, plans and elements, without what allocators keep.
        let bytesOfService: Int
        let peak: Int
    }

    func run() throws -> [Row] {
        print(
            """

            From decoded Services and EndpointSlices to the kernel, without an API server: all of them come, all \
            go, all come again.

            """
        )
        print(
            "cluster".leftPadded(10) + "insert".leftPadded(12) + "compiler".leftPadded(12)
                + "CPU".leftPadded(12) + "delete".leftPadded(12) + "CPU".leftPadded(12)
                + "again".leftPadded(12) + "B/Service".leftPadded(11)
                + "peak".leftPadded(9)
        )
        return try shapes.map { shape in
            let text = try Command.run([
                try Cluster.program("needletail-lab"), "reconcile", "\(shape)",
            ])
            let row = try JSONDecoder().decode(Row.self, from: Data(text.utf8))
            print("\(shape)".leftPadded(10) + row.text)
            return row
        }
    }
}

extension ReconcilerBench.Row {
    fileprivate var text: String {
        [insert, insertCompiling, insertProcessor, delete, deleteProcessor, insertAgain]
            .map { Duration.milliseconds($0).formattedMilliseconds.leftPadded(12) }.joined()
            + "\(bytesOfService)".leftPadded(11) + "\(peak >> 20) MiB".leftPadded(9)
    }
}

/// One row of the benchmark, run as a separate process.
struct ReconcileCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reconcile",
        abstract: "Program all Services of a cluster, remove them, and say what it took.",
        shouldDisplay: false
    )

    @Argument var shape: ClusterShape

    func run() async throws {
        let row = try await measure()
        print(String(decoding: try JSONEncoder().encode(row), as: UTF8.self))
    }

    private func reconciler() throws -> Reconciler {
        let namespace = try NetworkNamespace()
        try namespace.ip(["link set lo up"])
        // The backend's sockets stay in the namespace in which they were opened.
        let backend = try namespace.inside { try ProxyMode.nftables.backend() }
        var configuration = NodeConfiguration(nodeName: "bench")
        configuration.nodeIPs = [IPAddress(ipv4: 0xC000_0201)]
        configuration.podCIDRs = .cluster([IPPrefix("10.128.0.0/9")].compactMap(\.self))
        return Reconciler(
            .init(configuration),
            awaiting: [],
            backend: backend,
            interfaceAddresses: [],
            observer: NobodyInformed(),
            logger: Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    func measure() async throws -> ReconcilerBench.Row {
        let reconciler = try reconciler()
        needle_release_free_memory()
        let before = try memory.resident
        let (services, slices) = BenchObjects(endpoints: shape.endpoints).values(shape.services)
        let replace = { @Sendable (services: [Service], slices: [EndpointSlice]) in
            await reconciler.update { state in
                state.replaceServices(services)
                state.replaceEndpointSlices(slices)
            }
        }
        let clock = ContinuousClock()
        var record = SyncRecord()
        let begin = Resources().processorTime
        let insert = try await clock.measure {
            await replace(services, slices)
            record = try await reconciler.sync()
        }
        let inserted = Resources().processorTime
        needle_release_free_memory()
        let held = try memory
        let rested = Resources().processorTime
        let delete = try await clock.measure {
            await replace([], [])
            try await reconciler.sync(.changes)
        }
        let deleted = Resources().processorTime
        let again = try await clock.measure {
            await replace(services, slices)
            try await reconciler.sync(.changes)
        }
        return ReconcilerBench.Row(
            services: shape.services,
            endpoints: shape.endpoints,
            insert: insert.milliseconds,
            insertCompiling: record.compiling.milliseconds,
            delete: delete.milliseconds,
            insertAgain: again.milliseconds,
            insertProcessor: (inserted - begin).milliseconds,
            deleteProcessor: (deleted - rested).milliseconds,
            bytesOfService: (held.resident - before) / shape.services,
            peak: held.peak
        )
    }

    private var memory: ProcessMemory {
        get throws {
            guard let memory = ProcessMemory(of: getpid()) else {
                throw LabError("/proc does not tell this process's memory")
            }
            return memory
        }
    }
}

private struct NobodyInformed: SyncObserver {
    func changesQueued() {}
    func synced(_ record: SyncRecord) {}
    func failed(_ failure: SyncFailure) {}
    func foreignChange(_ object: ForeignObject, repairAfter delay: Duration) {}
}
