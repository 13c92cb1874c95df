import FoundationEssentials
import Glibc
@testable import KubernetesClient
import KubernetesModel
import NetworkNamespaces
import TestSupport

/// The kube-apiserver and etcd of `KUBEBUILDER_ASSETS`, on loopback, until they are stopped.
final class RealAPIServer: Sendable {
    let credentials: Credentials
    private let folder: String
    private let children: [pid_t]

    init() async throws {
        let assets = ProcessInfo.processInfo.environment["KUBEBUILDER_ASSETS"] ?? ""
        folder = FileManager.default.temporaryDirectory.path() + "needletail-test-\(UUID())"
        try FileManager.default.createDirectory(
            atPath: folder,
            withIntermediateDirectories: true
        )
        let key = "\(folder)/service-accounts.key"
        try Command.run(["openssl", "genrsa", "-out", key, "2048"])
        let ports = (0..<3).map { _ in Self.freePort() }
        let etcd = "http://127.0.0.1:\(ports[0])"
        children = [
            try Command.start(
                [
                    "\(assets)/etcd", "--data-dir", "\(folder)/etcd", "--listen-client-urls", etcd,
                    "--advertise-client-urls", etcd, "--listen-peer-urls",
                    "http://127.0.0.1:\(ports[1])",
                ],
                log: "\(folder)/etcd.log"
            ),
            try Command.start(
                [
                    "\(assets)/kube-apiserver", "--etcd-servers", etcd, "--cert-dir",
                    "\(folder)/certificates", "--bind-address", "127.0.0.1", "--secure-port",
                    "\(ports[2])", "--service-account-issuer", "https://test",
                    "--service-account-key-file", key, "--service-account-signing-key-file", key,
                    "--authorization-mode", "AlwaysAllow", "--disable-admission-plugins",
                    "ServiceAccount", "--service-cluster-ip-range", "10.96.0.0/16",
                ],
                log: "\(folder)/log"
            ),
        ]
        var credentials = Credentials(server: "https://127.0.0.1:\(ports[2])")
        credentials.skipsVerification = true
        self.credentials = credentials
        // Polling is right here: this waits for another program to start, not for a thread.
        let client = APIClient(credentials)
        for _ in 0..<300 {
            if (try? await client.page(Node.self, [:])) != nil { return }
            try await Task.sleep(for: .milliseconds(200))
        }
        throw ClientError.configuration("kube-apiserver did not start; see \(folder)/log")
    }

    func stop() {
        for child in children { kill(child, SIGTERM) }
        for child in children { waitpid(child, nil, 0) }
        try? FileManager.default.removeItem(atPath: folder)
    }

    private static func freePort() -> UInt16 {
        let server = ScriptedServer([])
        defer { server.close() }
        return server.port
    }
}
