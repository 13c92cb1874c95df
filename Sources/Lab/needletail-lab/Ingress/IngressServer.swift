internal import FoundationEssentials
internal import NetworkTypes

/// An nginx in a pod, which passes requests on to Services as an ingress controller's does.
final class IngressServer: Sendable {
    private static let program = "nginx"
    /// What this machine lacks for it; nil if nothing.
    static var lack: String? {
        NetworkKind.hasProgram(program)
            ? nil
            : "nginx is missing (apt-get install nginx-light, or scripts/install-packages networks)"
    }

    let pod: Topology.Pod
    private let directory: String
    private let processes = Processes()

    /// Starts it, and waits until it answers.
    ///
    /// - Parameter directory: for its files; must exist
    init(_ rules: [IngressRule], in pod: Topology.Pod, directory: String) throws {
        if let lack = Self.lack { throw LabError("an ingress in \(pod.name): \(lack)") }
        self.pod = pod
        self.directory = "\(directory)/ingress"
        try FileManager.default.createDirectory(
            atPath: self.directory,
            withIntermediateDirectories: false
        )
        let file = "\(self.directory)/nginx.conf"
        let port = ServiceObjects.podPort
        try rules.configuration(port: port, directory: self.directory).write(
            toFile: file,
            atomically: false,
            encoding: .utf8
        )
        let log = "\(self.directory)/error.log"
        try processes.start(
            [Self.program, "-p", self.directory, "-c", file],
            in: pod.namespace,
            log: log
        )
        do {
            let own = try FrontendKey("127.0.0.1", .tcp, port)
            let said = { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }
            try waitUntil("nginx does not answer in pod \(pod.name): \(said())") {
                try HTTPRequest().send(to: own, from: pod.namespace, patience: 1).isAnswer
            }
        } catch {
            stop()
            throw error
        }
    }

    /// The clients' addresses and the paths of its requests so far, one line each.
    var requests: [String] {
        let text = try? String(contentsOfFile: "\(directory)/access.log", encoding: .utf8)
        return (text ?? "").split(separator: "\n").map(String.init)
    }

    func stop() { processes.stop() }
}

extension HTTPRequest.Outcome {
    var isAnswer: Bool { if case .answered = self { true } else { false } }
}
