import BinarySupport
import Glibc
import NetworkNamespaces
import TestSupport
import Testing

/// Tests of two needletails on one node: one programs it, the others stand by.
@Suite(.timeLimit(.minutes(30))) struct StandbyTests {
    private let namespace: NetworkNamespace
    private let folder: Folder

    init() throws {
        namespace = try NetworkNamespace()
        folder = try Folder()
        try namespace.ip(["link set lo up"])
    }

    /// A daemon whose Service has an address of its own, by which the kernel tells who programs it.
    private func start(_ number: Int, _ flags: [String] = []) throws -> Daemon {
        let service =
            "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: test}, spec: {clusterIP: 10.96.0.\(number), ports: [{port: 80}]}}\n"
        let file = try folder.write(service, to: "\(number).yaml")
        return try Daemon(
            ["--manifests", file, "--hostname-override", "here", "--node-ip", "192.0.2.1"] + flags,
            in: namespace,
            log: "\(folder.path)/\(number).log"
        )
    }

    /// Flags with ports of its own.
    private func ports(_ number: Int) -> [String] {
        [
            "--healthz-bind-address", "127.0.0.1:\(20_000 + number)", "--metrics-bind-address",
            "127.0.0.1:\(21_000 + number)",
        ]
    }

    /// The numbers of the daemons whose Services the kernel has.
    private func programmed() throws -> [Int] {
        let rules = try namespace.run(["nft", "list", "ruleset"])
        return (1...9).filter { rules.contains("10.96.0.\($0) . tcp . 80") }
    }

    private func answer(_ path: String, port: Int) throws -> HTTPProbe? {
        try HTTPProbe.get(path, port: UInt16(port), in: namespace)
    }

    @Test(arguments: [SIGTERM, SIGKILL])
    func `the second says so, changes nothing, and takes over when the first is gone`(
        signal: Int32
    ) throws {
        let first = try start(1, ports(1))
        try first.wait(for: "synced")
        let before = try namespace.run(["nft", "list", "ruleset"])
        let second = try start(2, ports(2))
        let told = "another needletail (process \(first.child)) programs this node"
        try second.wait(for: "standby: \(told)")
        try second.wait { try answer("/readyz", port: 20_002)?.status == 503 }
        #expect(try answer("/readyz", port: 20_002)?.body == "not ready: standby: \(told)\n")
        #expect(try answer("/healthz", port: 20_002)?.status == 200)
        #expect(try answer("/livez", port: 20_002)?.status == 200)
        let metrics = try #require(try answer("/metrics", port: 21_002)).body
        #expect(metrics.contains("\nneedletail_standby 1\n"))
        let status = try Binary.run(["status", "--address", "127.0.0.1:21002"], in: namespace)
        #expect(status.status == 1 && status.output.contains("no: standby: \(told)"))
        #expect(try namespace.run(["nft", "list", "ruleset"]) == before)
        first.stop(signal)
        try second.wait(for: "synced")
        #expect(try programmed() == [2])
        #expect(second.output.contains("the other needletail has ended"))
        #expect(try answer("/readyz", port: 20_002)?.status == 200)
        #expect(
            try answer("/metrics", port: 21_002)?.body.contains("\nneedletail_standby 0\n") == true
        )
    }

    // In a cluster all have the same ports, and bindAddressHardFail makes a port that is taken fatal.
    @Test func `the second waits for the first one's ports, too`() throws {
        let first = try start(1)
        try first.wait(for: "synced")
        let second = try start(2, ["--bind-address-hard-fail"])
        try second.wait(for: "standby: ")
        // The kubelet's probes of either reach the first.
        try second.wait { try answer("/readyz", port: 10256)?.status == 200 }
        first.stop(SIGKILL)
        try second.wait(for: "synced")
        try second.wait { try answer("/readyz", port: 10256)?.status == 200 }
        try second.wait { try answer("/healthz", port: 10249)?.status == 200 }
        #expect(!second.output.contains("is not served"), "\(second.output)")
        #expect(second.stop() == 0)
    }

    @Test func `of three, one programs the node at any time`() throws {
        var daemons = try (1...3).map { try start($0, ports($0)) }
        for _ in 0..<3 {
            try daemons[0].wait { try programmed().count == 1 }
            let number = try #require(try programmed().first)
            // The log may be a moment behind the kernel.
            let isInCharge = { (daemon: Daemon) in daemon.output.contains("synced") }
            try daemons[0].wait { daemons.contains(where: isInCharge) }
            let index = try #require(daemons.firstIndex(where: isInCharge))
            for (other, daemon) in daemons.enumerated() where other != index {
                try daemon.wait(for: "standby: ")
                #expect(!daemon.output.contains("synced"))
            }
            daemons.remove(at: index).stop(SIGKILL)
            guard !daemons.isEmpty else { break }
            try daemons[0].wait { try programmed() != [number] }
        }
    }

    @Test func `a standby ends when it is told to`() throws {
        let first = try start(1, ports(1))
        try first.wait(for: "synced")
        let second = try start(2, ports(2))
        // Before it answers, a signal simply ends it.
        try second.wait { try answer("/readyz", port: 20_002)?.status == 503 }
        #expect(second.stop() == 0)
        #expect(try programmed() == [1])
    }

    @Test func `run --once refuses while a daemon runs`() throws {
        let first = try start(1, ports(1))
        try first.wait(for: "synced")
        let file = "\(folder.path)/1.yaml"
        let once = { try Binary.run(["run", "--once", "--manifests", file], in: namespace) }
        let refused = try once()
        #expect(refused.status == 1)
        #expect(
            refused.output.contains(
                "another needletail (process \(first.child)) programs this node and would undo"
            ),
            "\(refused.output)"
        )
        first.stop()
        #expect(try once().status == 0)
    }

    // Abstract addresses have no permissions.
    @Test(arguments: [0, 100]) func `a user who takes the name stops nothing`(queued: Int) throws {
        let script = """
            import signal, socket
            name = "\\0needletail"
            first = socket.socket(socket.AF_UNIX)
            first.bind(name)
            first.listen(0)
            clients = [socket.socket(socket.AF_UNIX) for _ in range(\(queued))]
            for client in clients:
                client.setblocking(False)
                client.connect_ex(name)
            print("ready", flush=True)
            signal.pause()
            """
        let log = "\(folder.path)/squatter"
        let file = open(log, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer { for descriptor in [file, null] { close(descriptor) } }
        let child = try Command.start(
            ["setpriv", "--reuid", "65534", "--clear-groups", "/usr/bin/python3", "-c", script],
            in: namespace,
            input: null,
            output: file
        )
        defer {
            kill(child, SIGKILL)
            waitpid(child, nil, 0)
        }
        while try namespace.run(["cat", log]).isEmpty { usleep(5000) }
        let daemon = try start(1, ports(1))
        try daemon.wait(for: "another needletail on this node would not be noticed")
        try daemon.wait(for: "synced")
        #expect(try programmed() == [1])
        try daemon.wait { try answer("/readyz", port: 20_001)?.status == 200 }
    }
}
