import BinarySupport
import Glibc
import NetworkNamespaces
import Testing

/// Tests of the daemon when its log or its supply of descriptors fails.
@Suite(.serialized, .timeLimit(.minutes(30))) struct LogPipeTests {
    private let namespace: NetworkNamespace
    private let manifests: Folder
    private let folder: Folder
    private let log: String

    init() throws {
        namespace = try NetworkNamespace()
        manifests = try Folder()
        folder = try Folder()
        log = "\(folder.path)/log"
        try namespace.ip(["link set lo up"])
        try program("10.96.0.10")
    }

    private func program(_ address: String) throws {
        try manifests.write(
            "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: \(address), ports: [{port: 80}]}}",
            to: "web.yaml"
        )
    }

    private func start() throws -> Daemon {
        try Daemon(["--manifests", manifests.path, "-v", "4"], in: namespace, log: log)
    }

    private func follows(_ daemon: Daemon) throws {
        for address in ["10.96.0.10", "10.96.0.11", "10.96.0.12"] {
            try program(address)
            try daemon.wait {
                try namespace.run(["nft", "list", "ruleset"]).contains("\(address) . tcp . 80")
            }
        }
        #expect(try HTTPProbe.get("/readyz", port: 10249, in: namespace)?.status == 200)
        #expect(daemon.stop() == 0, "it ends when it is told to, and by itself")
    }

    @Test func `a log that nobody reads any more does not end it`() throws {
        try #require(mkfifo(log, 0o600) == 0)
        let reader = open(log, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        let daemon: Daemon
        do {
            defer { close(reader) }
            daemon = try start()
        }
        try follows(daemon)
    }

    @Test func `a log whose pipe is full holds nothing up`() throws {
        try #require(mkfifo(log, 0o600) == 0)
        let pipe = open(log, O_RDWR | O_NONBLOCK | O_CLOEXEC)
        defer { close(pipe) }
        let page = [UInt8](repeating: 0x78, count: 4096)
        while write(pipe, page, page.count) > 0 {}
        try follows(try start())
    }

    @Test func `out of descriptors it still tells its health, and does not spin`() throws {
        let daemon = try start()
        try daemon.wait(for: "synced")
        try daemon.wait { try HTTPProbe.get("/healthz", port: 10256, in: namespace)?.status == 200 }
        let descriptors = try Command.run(["ls", "/proc/\(daemon.child)/fd"])
            .split(separator: "\n").compactMap { Int($0) }
        let limit = (descriptors.max() ?? 0) + 1
        try Command.run([
            "prlimit", "--pid", "\(daemon.child)", "--nofile=\(limit):\(limit)",
        ])
        var silent: [Int32] = []
        defer { for descriptor in silent { close(descriptor) } }
        for _ in 0..<100 {
            if let one = try HTTPProbe.connected(port: 10256, in: namespace) { silent.append(one) }
        }
        let clock = ContinuousClock()
        let (start, before) = (clock.now, try processorSeconds(daemon.child))
        var answers = 0
        repeat {
            #expect(try HTTPProbe.get("/healthz", port: 10256, in: namespace)?.status == 200)
            #expect(try HTTPProbe.get("/livez", port: 10256, in: namespace)?.status == 200)
            answers += 1
            usleep(20_000)
        } while clock.now < start + .seconds(2) || answers < 10
        let elapsed = (clock.now - start) / .seconds(1)
        let used = try processorSeconds(daemon.child) - before
        #expect(used < elapsed / 4, "\(used) s of \(elapsed) s")
        #expect(daemon.stop() == 0)
    }

    /// Returns the processor time that a process has used, in seconds.
    private func processorSeconds(_ process: Int32) throws -> Double {
        let words = try Command.run(["cat", "/proc/\(process)/stat"]).split(separator: " ")
        let ticks = words[13...14].compactMap { Double($0) }.reduce(0, +)
        return ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
    }
}
