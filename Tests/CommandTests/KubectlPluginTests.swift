import BinarySupport
import FoundationEssentials
import Glibc
import NetworkNamespaces
import Testing

@testable import needletail

/// Tests of `kubectl needletail` on three nodes; a script stands in for kubectl, and runs in a node's
/// namespace what kubectl would run in its daemon's container.
@Suite(.timeLimit(.minutes(30))) struct KubectlPluginTests {
    private static let names = ["alfa", "bravo", "charlie"]
    private let nodes: [Node]
    private let daemons: [Daemon]
    private let folder: Folder

    init() throws {
        folder = try Folder()
        nodes = try Self.names.map { _ in try Node() }
        daemons = try zip(nodes, Self.names).map { node, name in
            try node.write([2, 3])
            return try node.daemon("nftables", ["--hostname-override", name])
        }
        for (node, daemon) in zip(nodes, daemons) {
            try daemon.wait {
                try node.namespace.run(["nft", "list", "tables"]).contains("ip needletail")
            }
        }
        try write(phases: ["Running", "Running", "Running"])
    }

    /// Writes the script and what it says about pods.
    private func write(phases: [String]) throws {
        let pods = zip(Self.names, phases).map { name, phase in
            """
            {"metadata": {"name": "needletail-\(name)", "creationTimestamp": "2026-01-01T00:00:00Z"},
             "spec": {"nodeName": "\(name)", "containers": [{"name": "needletail"}]},
             "status": {"phase": "\(phase)"}}
            """
        }
        // A pod that is being replaced does not count.
        let leaving = """
            {"metadata": {"name": "old", "creationTimestamp": "2027-01-01T00:00:00Z",
             "deletionTimestamp": "2027-01-01T00:00:00Z"},
             "spec": {"nodeName": "alfa", "containers": []}, "status": {"phase": "Running"}}
            """
        try folder.write(
            #"{"items": [\#((pods + [leaving]).joined(separator: ","))]}"#,
            to: "pods.json"
        )
        let cases = zip(Self.names, zip(nodes, daemons)).map { name, machine in
            let flags = machine.0.flags + ["--hostname-override", name]
            return """
                needletail-\(name))
                    net=/proc/\(machine.1.child)/ns/net
                    case $1 in explain | diff | watch) set -- "$@" \(flags.joined(separator: " ")) ;; esac ;;
                """
        }
        try folder.writeProgram(
            """
            #!/bin/sh
            [ "$1 $2" = "--namespace kube-system" ] || { echo "error: flags $*" >&2; exit 1; }
            shift 2
            if [ "$1 $2" = "get pods" ]; then cat '\(folder.path)/pods.json'; exit; fi
            [ "$1 $3 $4 $5" = "exec --container needletail --" ] || { echo "error: $*" >&2; exit 1; }
            pod=$2
            shift 6
            case $pod in
            \(cases.joined(separator: "\n"))
            *) echo "error: no pod $pod" >&2; exit 1 ;;
            esac
            # As kubectl says it.
            nsenter --net=$net '\(Binary.path)' "$@" || {
                status=$?
                echo "command terminated with exit code $status" >&2
                exit $status
            }

            """,
            to: "kubectl"
        )
        unlink("\(folder.path)/kubectl-needletail")
        symlink(Binary.path, "\(folder.path)/kubectl-needletail")
    }

    /// Runs the plugin as kubectl does.
    private func plugin(_ words: String...) throws -> (text: String, status: Int) {
        let quoted = words.map { "'\($0)'" }.joined(separator: " ")
        let text = try Command.run([
            "sh", "-c",
            "PATH='\(folder.path)':$PATH; kubectl-needletail \(quoted) 2>&1; echo \"exit $?\"",
        ])
        let lines = text.split(separator: "\n")
        let status = lines.last.flatMap { Int($0.dropFirst(5)) } ?? -1
        return (lines.dropLast().joined(separator: "\n"), status)
    }

    @Test func `nodes that agree have one answer, and the one that was tampered with is named`()
        throws
    {
        let agreed = try plugin("explain", "shop/web")
        #expect(agreed.status == 0, "\(agreed.text)")
        #expect(agreed.text.hasPrefix("== all 3 nodes:\n"))
        #expect(agreed.text.split(separator: "\n").count { $0.contains("kernel: does this") } == 1)
        // The daemon would repair it.
        try daemons[1].whilePaused { try expectBravoNamed() }
    }

    private func expectBravoNamed() throws {
        try nodes[1].namespace.run(["nft", "flush chain ip needletail pick"])
        let parted = try plugin("explain", "shop/web")
        #expect(parted.status == 1)
        #expect(parted.text.hasPrefix("== nodes alfa, charlie:\n"), "\(parted.text)")
        let answers = parted.text.components(separatedBy: "\n== node bravo (exit status 1):\n")
        try #require(answers.count == 2)
        #expect(!answers[0].contains("kernel: differs") && answers[1].contains("kernel: differs"))
        let differences = try plugin("diff")
        #expect(differences.status == 1)
        #expect(
            differences.text.contains("== node bravo (exit status 1):\n"),
            "\(differences.text)"
        )
        #expect(try plugin("--node", "alfa", "--node", "charlie", "diff").status == 0)
        let json = try plugin("explain", "shop/web", "-o", "json").text
        let document = try JSONDecoder().decode(Document.self, from: Data(json.utf8))
        #expect(document.nodes.map(\.node) == Self.names)
        #expect(document.nodes.map(\.status) == [0, 1, 0])
        #expect(document.nodes.allSatisfy { $0.answer?.node.name == $0.node })
    }

    private struct Document: Decodable {
        struct Entry: Decodable {
            struct Answer: Decodable {
                struct Node: Decodable { let name: String }
                let node: Node
            }
            let node: String
            let status: Int?
            let answer: Answer?
        }
        let nodes: [Entry]
    }

    @Test func `the status is a table, and a node without an answer is told`() throws {
        let table = try plugin("status")
        #expect(table.status == 0, "\(table.text)")
        let lines = table.text.split(separator: "\n")
        #expect(lines.first?.hasPrefix("NODE") == true && lines.count == 4)
        for (line, name) in zip(lines.dropFirst(), Self.names) {
            #expect(line.hasPrefix(name) && line.contains("  yes  ") && line.contains("nftables"))
        }
        daemons[2].stop(SIGKILL)
        try write(phases: ["Running", "Pending", "Running"])
        let lacking = try plugin("status")
        #expect(lacking.status == 1)
        #expect(lacking.text.contains("node bravo has no answer: pod needletail-bravo is Pending"))
        #expect(lacking.text.contains("node charlie has no answer: "), "\(lacking.text)")
        #expect(lacking.text.contains("\nalfa  yes  "))
    }

    @Test func `history and watch name the node of each line`() throws {
        try nodes[0].write([2])
        try daemons[0].wait {
            try plugin("history", "shop/web").text.contains("endpoints -10.244.1.3:8080")
        }
        let history = try plugin("history", "shop/web")
        #expect(history.status == 0)
        let lines = history.text.split(separator: "\n")
        #expect(lines.allSatisfy { line in Self.names.contains { line.hasPrefix($0) } })
        let times = lines.map { $0.split(separator: " ")[1] }
        #expect(times == times.sorted() && times.count >= 4)
        let connections = try plugin("watch", "--for", "1s")
        #expect(connections.status == 0, "\(connections.text)")
        #expect(connections.text.components(separatedBy: "TIME ").count == 2, "\(connections.text)")
    }

    @Test func `what cannot be asked is said`() throws {
        #expect(try plugin("--node", "delta", "status").text.contains("node delta has no daemon"))
        #expect(try plugin("explain", "web").text.contains("neither NAMESPACE/NAME"))
        #expect(try plugin("-n", "other", "status").text.contains("kubectl get pods: error: flags"))
        #expect(try plugin("watch", "--top").status == 64)
        #expect(try plugin("--parallel", "0", "status").status == 64)
        #expect(try plugin().status == 64)
        let help = try plugin("--help")
        #expect(help.status == 0 && help.text.contains("USAGE: kubectl needletail"), "\(help.text)")
    }

    @Test func `nodes agree though they have other addresses and pods`() {
        func answer(_ node: String, _ address: String, _ text: String, _ status: Int32 = 0)
            -> NodeAnswer
        {
            let text = """
                10.96.0.10:80/tcp  ClusterIP of shop/web
                \(address):30080/tcp  NodePort of shop/web
                [fd00::\(address.last ?? "0")]:30080/tcp  NodePort of shop/web
                \(text)
                node \(node), zone \(node)-1
                  addresses \(address), fd00::\(address.last ?? "0")
                  NodePorts at \(address)
                kernel: does this

                """
            return NodeAnswer(node: node, result: .printed(text, status: status))
        }
        let local = "    + 10.244.1.2:8080: ready, on this node"
        let remote = "    + 10.244.1.2:8080: ready"
        let both = NodeAnswers([
            answer("b", "192.0.2.12", remote), answer("a", "192.0.2.1", local),
        ])
        #expect(both.grouped.first == "== all 2 nodes:" && both.status == 0)
        // Another endpoint, though it begins with the node's own address.
        let other = NodeAnswers([
            answer("a", "192.0.2.1", "    + 192.0.2.12:8080: ready"),
            answer("b", "192.0.2.2", "    + 192.0.2.22:8080: ready"),
        ])
        #expect(other.grouped.filter { $0.hasPrefix("==") } == ["== node a:", "== node b:"])
        let dropped = NodeAnswers([
            answer("a", "192.0.2.1", "dropped by table ip guard, chain f, handle 2: drop", 1),
            answer("b", "192.0.2.2", "dropped by table ip guard, chain f, handle 31: drop", 1),
            answer("c", "192.0.2.3", local),
        ])
        #expect(
            dropped.grouped.filter { $0.hasPrefix("==") } == [
                "== node c:", "== nodes a, b (exit status 1):",
            ]
        )
        #expect(dropped.status == 1)
    }
}
