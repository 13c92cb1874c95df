import BinarySupport
import Glibc
import NetworkNamespaces
import TestSupport
import Testing

/// Tests of the program while its netlink sockets fail, or when it is killed at any message.
///
/// The cluster passes through moments: in moment N one Service has the address 10.96.0.N and the endpoint
/// 10.244.1.N. The kernel must always hold one moment, as a whole.
@Suite(.timeLimit(.minutes(30))) struct NetlinkFaultTests {
    private let namespace: NetworkNamespace
    private let folder: Folder

    init() throws {
        namespace = try NetworkNamespace()
        folder = try Folder()
        try namespace.ip(["link set lo up"])
    }

    private func write(moment: Int) throws {
        try folder.write(
            """
            {apiVersion: v1, kind: Service, metadata: {name: web, namespace: test}, spec: {clusterIP: 10.96.0.\(moment), ports: [{name: http, port: 80}]}}
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: web-1, namespace: test, labels: {kubernetes.io/service-name: web}}
            addressType: IPv4
            ports: [{name: http, port: 8080}]
            endpoints: [{addresses: [10.244.1.\(moment)]}]

            """,
            to: "web.yaml"
        )
    }

    private var flags: [String] {
        ["--manifests", folder.path, "--hostname-override", "here", "--node-ip", "192.0.2.1"]
    }

    /// What the kernel holds: the last parts of the Service's addresses, and of the endpoints'.
    private struct Held: Equatable {
        var addresses: Set<Int> = []
        var endpoints: Set<Int> = []

        init(_ rules: String) {
            for line in rules.split(separator: "\n").map(String.init) {
                addresses.formUnion(
                    Self.numbers(after: "10.96.0.", before: " . tcp . 80", in: line)
                )
                endpoints.formUnion(Self.numbers(after: ": 10.244.1.", before: " . 8080", in: line))
            }
        }

        init(moment: Int) { (addresses, endpoints) = ([moment], [moment]) }

        /// The moment; nil if this is none.
        var moment: Int? {
            addresses.count == 1 && addresses == endpoints ? addresses.first : nil
        }

        private static func numbers(after: String, before: String, in line: String) -> [Int] {
            line.split(separator: after).compactMap { part in
                let digits = part.prefix { $0.isNumber }
                return part.dropFirst(digits.count).hasPrefix(before) ? Int(digits) : nil
            }
        }
    }

    private func held() throws -> Held {
        Held(try namespace.run(["nft", "list", "ruleset"]))
    }

    private func programOnce(_ faults: String? = nil) throws -> Binary.Result {
        try Binary.run(
            ["run", "--once"] + flags,
            in: namespace,
            wrapper: faults.map(Binary.netlinkFaults) ?? []
        )
    }

    private func isSettled() throws -> Bool {
        try Binary.run(["diff"] + flags, in: namespace).status == 0
    }

    /// What is done to the tables before each attempt, so that it has more to send.
    private static let damages = ["", "add chain ip needletail another-version"]

    @Test(arguments: damages)
    func `killed at any message, the kernel has the old state or the new one`(
        damage: String
    ) throws {
        try write(moment: 1)
        #expect(try programOnce().status == 0)
        var (old, point, isKilled) = (1, 0, true)
        while isKilled {
            point += 1
            if !damage.isEmpty { try namespace.run(["nft", damage]) }
            let new = 2 + point % 200
            try write(moment: new)
            isKilled = try programOnce("kill \(point)").status != 0
            let held = try held()
            let moment = try #require(held.moment, "killed at point \(point): \(held)")
            #expect(moment == new || isKilled && moment == old, "killed at point \(point)")
            old = moment
        }
        // The last one had to be killed later than ever.
        #expect(point > 8)
        #expect(try isSettled())
    }

    @Test func `killed at any message of its first start, the next start completes it`() throws {
        try write(moment: 7)
        var (point, isKilled) = (0, true)
        while isKilled {
            point += 1
            try namespace.run(["nft", "flush", "ruleset"])
            isKilled = try programOnce("kill \(point)").status != 0
            let held = try held()
            #expect(held == Held(moment: 7) || isKilled && held == Held(""), "point \(point)")
            guard point.isMultiple(of: 4) else { continue }
            #expect(try programOnce().status == 0)
            #expect(try isSettled(), "point \(point)")
        }
        #expect(point > 4)
    }

    // ENOBUFS, EINTR, ENOMEM, EBUSY and EAGAIN of any message, sent or received.
    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func `while netlink fails, the kernel has a state of the cluster, and in the end the last one`(
        seed: UInt64
    ) throws {
        try write(moment: 1)
        #expect(try programOnce().status == 0)
        let log = "\(folder.path)/.log"
        let percent = seed.isMultiple(of: 2) ? 10 : 3
        var starts: UInt64 = 0
        func start() throws -> Daemon {
            starts += 1
            // What fails at the start ends the program, which is started again.
            try #require(starts < 40, "seed \(seed)")
            let faults = "fail \(seed * 100 + starts) \(percent) 60"
            let wrapper = Binary.netlinkFaults(faults)
            return try Daemon(["-v", "4"] + flags, in: namespace, wrapper: wrapper, log: log)
        }
        var daemon = try start()
        for moment in 2...12 {
            try write(moment: moment)
            // Some moments pass before anything was done, and some are awaited.
            let isAwaited = moment.isMultiple(of: 3) || moment == 12
            var isReached = false
            while !isReached {
                let held = try held()
                let now = try #require(held.moment, "seed \(seed): \(held) \(daemon.output)")
                #expect(now <= moment, "seed \(seed)")
                if !daemon.isAlive { daemon = try start() }
                isReached = now == moment || !isAwaited
            }
        }
        try daemon.wait { try isSettled() }
        #expect(try held() == Held(moment: 12))
    }
}
