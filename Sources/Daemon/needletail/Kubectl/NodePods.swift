internal import NetworkTypes
internal import Subprocess
internal import SystemPackage
internal import Threads

/// The daemon's pod of one node.
struct NodePod: Sendable, Hashable {
    let node: String
    let pod: String
    /// The daemon's; nil if the pod has none that could be it.
    let container: String?
    let phase: String?

    /// The names of the daemon's container, in our manifests and in kubeadm's.
    static let containers = ["needletail", "kube-proxy"]

    /// Why nothing can be run in it; nil if something can.
    var obstacle: String? {
        guard container != nil else {
            let names = Self.containers.joined(separator: " or ")
            return "pod \(pod) has no container named \(names)"
        }
        return phase == "Running" ? nil : "pod \(pod) is \(phase ?? "without a phase")"
    }
}

/// kubectl, with the user's own rights.
struct KubectlAccess: Sendable {
    /// The flags that go before every command.
    let flags: [String]
    let timeLimit: Duration

    private static let program = Executable.name("kubectl")
    private static let outputLimit = 16 << 20
    /// Finds the daemons' pods, one for each node.
    func pods(_ selector: String) async throws -> [NodePod] {
        let words = ["get", "pods", "--selector", selector, "--output", "json"]
        let (text, status, problem) = try await run(words)
        guard status == 0 else { throw Failure("kubectl get pods: \(problem)") }
        return try NodePod.all(in: text)
    }

    /// Runs needletail with these words in a pod.
    func ask(_ pod: NodePod, _ words: [String]) async -> NodeAnswer {
        if let obstacle = pod.obstacle {
            return NodeAnswer(node: pod.node, result: .failed(obstacle))
        }
        do {
            let (text, status, problem) = try await run(execution(pod, words))
            // What ends with an error has printed nothing.
            let isAnswer = status == 0 || [1, 3].contains(status) && !text.isEmpty
            return NodeAnswer(
                node: pod.node,
                result: isAnswer ? .printed(text, status: status) : .failed(problem)
            )
        } catch {
            return NodeAnswer(node: pod.node, result: .failed("\(error)"))
        }
    }

    /// Runs needletail in a pod, and passes on each line that it prints, until it ends.
    ///
    /// - Returns: why it ended with an error; nil if it did not
    func follow(
        _ pod: NodePod,
        _ words: [String],
        _ line: @escaping @Sendable (String) -> Void
    ) async throws -> String? {
        if let obstacle = pod.obstacle { return obstacle }
        let result = try await Subprocess.run(
            Self.program,
            arguments: Arguments(flags + execution(pod, words)),
            input: .none,
            output: .sequence,
            error: .string(limit: Self.outputLimit)
        ) { execution in
            for try await text in execution.standardOutput.strings() {
                line(text)
            }
        }
        return result.terminationStatus.isSuccess
            ? nil : Self.problem(result.standardError, result.terminationStatus)
    }

    private func execution(_ pod: NodePod, _ words: [String]) -> [String] {
        ["exec", pod.pod, "--container", pod.container ?? "", "--", "needletail"] + words
    }

    private func run(
        _ words: [String]
    ) async throws -> (text: String, status: Int32, problem: String) {
        let arguments = Arguments(flags + words)
        do {
            let result = try await withTimeLimit(timeLimit) {
                try await Subprocess.run(
                    Self.program,
                    arguments: arguments,
                    output: .string(limit: Self.outputLimit),
                    error: .string(limit: Self.outputLimit)
                )
            }
            let status: Int32 =
                if case .exited(let code) = result.terminationStatus { code } else { -1 }
            let problem = Self.problem(result.standardError, result.terminationStatus)
            return (result.standardOutput, status, problem)
        } catch is CancellationError {
            throw Failure("no end within \(timeLimit)")
        } catch let error as SubprocessError {
            throw Failure("kubectl cannot be run: \(error)")
        }
    }

    /// The last line that a program has printed about its failure.
    private static func problem(_ text: String, _ status: TerminationStatus) -> String {
        let lines = text.split(separator: "\n").filter { !$0.hasPrefix("command terminated") }
        return lines.last.map { String($0).printable } ?? "kubectl failed: \(status)"
    }
}
