import BinarySupport
import Glibc
import NetworkNamespaces
import TestSupport
import Testing

/// Tests of a node that misbehaves around the program: others write to nf_tables, addresses and interfaces come and
/// go, memory and disks are short.
@Suite(.timeLimit(.minutes(30))) struct NodeFaultTests {
    private let namespace: NetworkNamespace
    private let folder: Folder

    init() throws {
        namespace = try NetworkNamespace()
        folder = try Folder()
        try namespace.ip([
            "link set lo up", "addr add 192.0.2.1/32 dev lo", "addr add 10.244.1.5/32 dev lo",
            "route add default dev lo",
        ])
    }

    private static func manifest(_ endpoint: Int) -> String {
        """
        {apiVersion: v1, kind: Service, metadata: {name: web, namespace: test}, spec: {type: NodePort, clusterIP: 10.96.0.10, ports: [{name: http, port: 80, nodePort: 30080}]}}
        ---
        {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, namespace: test, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, ports: [{name: http, port: 8080}], endpoints: [{addresses: [10.244.1.\(endpoint)]}]}

        """
    }

    private func flags(_ path: String) -> [String] {
        [
            "--manifests", path, "--hostname-override", "here", "--node-ip", "192.0.2.1",
            "--nodeport-addresses", "192.0.2.0/24",
        ]
    }

    private func start(_ path: String) throws -> Daemon {
        try Daemon(flags(path), in: namespace, log: "\(folder.path)/.log")
    }

    private func rules() throws -> String { try namespace.run(["nft", "list", "ruleset"]) }

    private func isSettled(_ path: String) throws -> Bool {
        try Binary.run(["diff"] + flags(path), in: namespace).status == 0
    }

    @Test func `others write to nf_tables without a pause: theirs stays, ours is right in the end`()
        throws
    {
        try folder.write(Self.manifest(5), to: "web.yaml")
        try namespace.run(["nft", "add table inet theirs"])
        try namespace.run(["nft", "add chain inet theirs kept { counter; }"])
        let theirs = try namespace.run(["nft", "list", "table", "inet", "theirs"])
        let daemon = try start(folder.path)
        try daemon.wait(for: "synced")
        let writes = [
            "add table ip passing; add chain ip passing c; delete table ip passing",
            "flush set ip needletail frontends",
            "add element ip needletail cluster-ips { 10.96.9.9 }",
            "delete table ip6 needletail",
            "flush chain ip needletail services",
        ]
        for round in 0..<60 {
            // A write may meet a table that is not there at that moment.
            _ = try? namespace.run(["nft", "-f", "-"], input: writes[round % writes.count] + "\n")
            try folder.write(Self.manifest(5 + round % 3), to: "web.yaml")
        }
        try folder.write(Self.manifest(9), to: "web.yaml")
        try daemon.wait { try isSettled(folder.path) }
        #expect(try rules().contains(": 10.244.1.9 . 8080"))
        #expect(try namespace.run(["nft", "list", "table", "inet", "theirs"]) == theirs)
        #expect(daemon.isAlive)
    }

    @Test func `addresses flap and interfaces vanish: others' NodePorts stay`() throws {
        try folder.write(Self.manifest(5), to: "web.yaml")
        let daemon = try start(folder.path)
        try daemon.wait(for: "synced")
        for round in 0..<40 {
            let address = "192.0.2.\(10 + round % 5)/32"
            try namespace.ip([
                "addr add \(address) dev lo", "link add flap type bridge",
                "addr add 192.0.2.99/32 dev flap", "link set flap up",
            ])
            #expect(try rules().contains("192.0.2.1 . tcp . 30080"), "round \(round)")
            try namespace.ip(["link del flap", "addr del \(address) dev lo"])
        }
        try namespace.ip(["addr add 192.0.2.77/32 dev lo"])
        try daemon.wait { try rules().contains("192.0.2.77 . tcp . 30080") }
        try daemon.wait { try isSettled(folder.path) }
        let last = try rules()
        #expect(last.contains("192.0.2.1 . tcp . 30080") && !last.contains("192.0.2.99"))
        #expect(daemon.isAlive)
    }

    @Test func `a disk that is full when manifests are written changes nothing`() throws {
        let disk = "\(folder.path)/disk"
        try namespace.run(["mkdir", disk])
        try namespace.run(["mount", "-t", "tmpfs", "-o", "size=12k", "needletail-test", disk])
        defer { _ = try? namespace.run(["umount", "-l", disk]) }
        try namespace.run(["tee", "\(disk)/web.yaml"], input: Self.manifest(5))
        let daemon = try start(disk)
        try daemon.wait(for: "synced")
        let before = try rules()
        // Nothing of a file that is written anew fits, and then its first part, which ends within a line.
        for filler in [12, 4] {
            try namespace.run([
                "sh", "-c",
                "rm -f \(disk)/.full; : > \(disk)/web.yaml; head -c \(filler)k /dev/zero > \(disk)/.full; true",
            ])
            let long =
                Self.manifest(7) + "---\n"
                + Self.manifest(7).replacing("web", with: String(repeating: "w", count: 9000))
            try namespace.run(["sh", "-c", "cat > \(disk)/web.yaml || true"], input: long)
            let note = filler == 12 ? "web.yaml: is empty" : "its last good content stays in force"
            try daemon.wait(for: note)
            #expect(try rules() == before)
        }
        try namespace.run(["rm", "\(disk)/.full"])
        try namespace.run(["tee", "\(disk)/web.yaml"], input: Self.manifest(9))
        try daemon.wait { try rules().contains(": 10.244.1.9 . 8080") }
        #expect(try isSettled(disk))
    }

    private static func cluster(_ endpoint: Int) -> String {
        (0..<1000).map { number in
            """
            {apiVersion: v1, kind: Service, metadata: {name: s\(number), namespace: test}, spec: {clusterIP: 10.96.\(number / 250).\(1 + number % 250), ports: [{name: http, port: 80}]}}
            ---
            {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s\(number)-1, namespace: test, labels: {kubernetes.io/service-name: s\(number)}}, addressType: IPv4, ports: [{name: http, port: 8080}], endpoints: [{addresses: [10.244.1.\(endpoint)]}]}

            """
        }.joined(separator: "---\n")
    }

    // RLIMIT_DATA counts the private memory and the stacks.
    @Test func `too little memory ends the program and leaves the rules; enough of it does not`()
        throws
    {
        let old = try folder.write(Self.cluster(5), to: "old.yaml")
        let new = try folder.write(Self.cluster(7), to: "new.yaml")
        #expect(try Binary.run(["run", "--once"] + flags(old), in: namespace).status == 0)
        var outcomes: [Bool] = []
        for limit in [1, 32, 64, 512] {
            let result = try Binary.run(
                ["run", "--once"] + flags(new),
                in: namespace,
                wrapper: [
                    "timeout", "-s", "KILL", "60", "prlimit", "--data=\(limit << 20)", "--core=0",
                ]
            )
            outcomes.append(result.status == 0)
            let rules = try rules()
            let counts = [5, 7].map { rules.split(separator: ": 10.244.1.\($0) . 8080").count - 1 }
            #expect(counts == (result.status == 0 ? [0, 1000] : [1000, 0]), "\(limit) MiB")
            if result.status == 0 { break }
        }
        #expect(outcomes.first == false && outcomes.last == true)
        #expect(try isSettled(new))
    }
}
