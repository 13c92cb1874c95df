internal import ArgumentParser
internal import Configuration
internal import FoundationEssentials
internal import Glibc
internal import NetworkTypes
internal import Observability
internal import Synchronization

/// Runs a command on every node, through `kubectl exec`.
///
/// As `kubectl-needletail` in the PATH the program is a plugin: `kubectl needletail …`.
struct Kubectl: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask the daemon of every node of the cluster, through kubectl.",
        usage:
            "kubectl needletail [OPTIONS] (explain | diff | status | watch | history | …) [ARGUMENTS]",
        discussion: """
            The command runs in the daemon's container on each node, with kubectl and its kubeconfig: the \
            right to list pods and to exec in the daemon's namespace is all that is needed. Where nodes \
            agree, their answer is shown once; nodes that answer otherwise, or not at all, are named. \
            The status is a table, and lines of watch and history begin with the node. Options of this \
            command go before the other command's name.

            A link with the name kubectl-needletail to this program makes it a plugin of kubectl.

            Exit status: 0 if it is 0 on all nodes; 1 if a node says 1 or does not answer; else 3.
            """
    )

    @Option(name: [.customShort("n"), .long], help: "The daemons' namespace.")
    var namespace = "kube-system"

    @Option(name: [.customShort("l"), .long], help: "The labels of the daemons' pods.")
    var selector = "k8s-app in (needletail,kube-proxy)"

    @Option(name: .long, help: "Only this node; may be given again.")
    var node: [String] = []

    @Option(help: "The kubeconfig's context.")
    var context: String?

    @Option(help: "The kubeconfig file.")
    var kubeconfig: String?

    @Option(help: "How long to wait for a node's answer.")
    var timeout = "30s"

    @Option(help: "How many nodes are asked at the same time.")
    var parallel = 16

    @Argument(parsing: .captureForPassthrough, help: "The command and its arguments.")
    var words: [String]

    func validate() throws {
        guard parallel > 0 else {
            throw ValidationError("--parallel: \(parallel) is not 1 or more")
        }
        // What is passed on would take it.
        if ["--help", "-h"].contains(words.first) { throw CleanExit.helpRequest(self) }
        guard let first = words.first, !first.hasPrefix("-") else {
            throw ValidationError("\(words.first ?? "") is no command; options go before its name")
        }
    }

    func run() async throws {
        guard let limit = TimeSpan(timeout), limit.seconds > 0 else {
            throw Failure("--timeout: \"\(timeout)\" is no time such as 30s", status: EX_USAGE)
        }
        let access = KubectlAccess(flags: flags, timeLimit: .seconds(limit.seconds))
        let pods = try await chosen(access)
        guard !isEndless else { return try await follow(access, pods) }
        let answers = NodeAnswers(await answers(access, pods))
        for line in lines(answers) { print(line.printable) }
        if answers.status != 0 { throw ExitCode(answers.status) }
    }

    private var flags: [String] {
        var flags = ["--namespace", namespace]
        if let context { flags += ["--context", context] }
        if let kubeconfig { flags += ["--kubeconfig", kubeconfig] }
        return flags
    }

    private func chosen(_ access: KubectlAccess) async throws -> [NodePod] {
        let all = try await access.pods(selector)
        guard !all.isEmpty else {
            throw Failure(
                "namespace \(namespace) has no pods with labels \"\(selector)\": see --namespace and --selector"
            )
        }
        for name in node where !all.contains(where: { $0.node == name }) {
            throw Failure(
                "node \(name) has no daemon's pod; there are \(all.map(\.node).joined(separator: ", "))"
            )
        }
        return node.isEmpty ? all : all.filter { node.contains($0.node) }
    }

    // MARK: Commands that end

    private func answers(_ access: KubectlAccess, _ pods: [NodePod]) async -> [NodeAnswer] {
        var words = words
        // The table is made of what machines read.
        if isTable { words += ["--output", "json"] }
        return await withTaskGroup(of: NodeAnswer.self) { [words] group in
            var waiting = pods[...]
            for pod in waiting.prefix(parallel) {
                group.addTask { await access.ask(pod, words) }
            }
            waiting = waiting.dropFirst(parallel)
            var answers: [NodeAnswer] = []
            for await answer in group {
                answers.append(answer)
                if let pod = waiting.popFirst() {
                    group.addTask { await access.ask(pod, words) }
                }
            }
            return answers
        }
    }

    private func lines(_ answers: NodeAnswers) -> [String] {
        if isTable { return answers.table(Self.row) }
        if wantsJSON { return answers.json.split(separator: "\n").map(String.init) }
        return words.first == "history" ? answers.byTime : answers.grouped
    }

    private var wantsJSON: Bool {
        words.contains { ["-ojson", "-o=json", "--output=json"].contains($0) }
            || zip(words, words.dropFirst()).contains {
                ["-o", "--output"].contains($0) && $1 == "json"
            }
    }

    private var isTable: Bool { words.first == "status" && !wantsJSON }

    static func row(_ text: String) -> NodeAnswers.StatusRow? {
        guard let status = try? JSONDecoder().decode(StatusDocument.self, from: Data(text.utf8))
        else {
            return nil
        }
        let obstacles = status.forwarding ?? []
        let ready = status.ready ? "yes" : "no: \(status.reason ?? "")"
        return NodeAnswers.StatusRow(
            node: status.node,
            ready: obstacles.isEmpty ? ready : "\(ready), \(obstacles.count) obstacles",
            mode: status.mode,
            version: status.version,
            services: "\(status.services)",
            endpoints: "\(status.endpoints)",
            sync: status.lastSync.map { "\($0.at)" } ?? "none",
            drift: "\(status.drift.detected) found, \(status.drift.repaired) repaired"
        )
    }

    // MARK: Commands that go on

    private var isEndless: Bool {
        words.first == "watch" || words.first == "history" && words.contains("--follow")
    }

    private func follow(_ access: KubectlAccess, _ pods: [NodePod]) async throws {
        guard !words.contains("--top") else {
            throw Failure(
                "watch --top is a table of one node: kubectl exec into its daemon",
                status: EX_USAGE
            )
        }
        let width = pods.map(\.node.count).max() ?? 0
        let screen = FollowedLines()
        let hasFailed = await withTaskGroup(of: Bool.self) { group in
            for pod in pods {
                let name = pod.node.padded(to: width)
                group.addTask { [words] in
                    do {
                        let reason = try await access.follow(pod, words) {
                            screen.show($0, of: name)
                        }
                        if let reason { report("node \(pod.node): \(reason)") }
                        return reason != nil
                    } catch {
                        report("node \(pod.node): \(error)")
                        return true
                    }
                }
            }
            return await group.reduce(false) { $0 || $1 }
        }
        if hasFailed { throw ExitCode.failure }
    }
}

/// The lines of several nodes on one screen; the heading is shown once.
private final class FollowedLines: Sendable {
    private let heading = Mutex<String?>(nil)

    func show(_ line: String, of node: String) {
        heading.withLock { heading in
            guard line.hasPrefix("TIME ") else { return print("\(node)  \(line.printable)") }
            guard heading == nil else { return }
            heading = line
            print("\("".padded(to: node.count))  \(line)")
        }
        fflush(nil)
    }
}
