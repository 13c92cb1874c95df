import FoundationEssentials
import Glibc
@testable import KubernetesClient
import NetworkNamespaces

/// An nginx that takes connections over TLS and passes requests on to an API server, in a network
/// namespace that has nobody else.
final class TLSFront {
    private let namespace: NetworkNamespace
    private let folder = FileManager.default.temporaryDirectory.path() + "needletail-test-\(UUID())"
    private let child: pid_t
    private var questions = 0

    /// - Parameter port: where the API server listens on loopback in the namespace
    init(to port: UInt16, in namespace: NetworkNamespace, http2: Bool) throws {
        self.namespace = namespace
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Command.run([
            "sh", "-ec",
            """
            cd \(folder)
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -x509 -days 2 \
                -subj /CN=front -keyout front.key -out front.crt 2>/dev/null
            """,
        ])
        let folder = folder
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
            "\($0)_temp_path \(folder)/\($0);"
        }
        let configuration = """
            daemon off;
            pid \(folder)/nginx.pid;
            error_log stderr;
            events {}
            http {
                access_log off;
                \(temporary.joined(separator: " "))
                server {
                    listen 127.0.0.1:8443 ssl\(http2 ? " http2" : "");
                    ssl_certificate \(folder)/front.crt;
                    ssl_certificate_key \(folder)/front.key;
                    location / {
                        proxy_pass http://127.0.0.1:\(port);
                        proxy_http_version 1.1;
                        proxy_buffering off;
                    }
                }
                server {
                    listen 127.0.0.1:8080;
                    location / { stub_status; }
                }
            }

            """
        let file = "\(folder)/nginx.conf"
        try configuration.write(toFile: file, atomically: false, encoding: .utf8)
        child = try Command.start(
            ["nginx", "-p", folder, "-c", file],
            in: namespace,
            endingWith: "TERM",
            log: "\(folder)/log"
        )
        let deadline = ContinuousClock.now + .seconds(60)
        while (try? status()) == nil {
            guard .now < deadline else {
                let said = try? String(contentsOfFile: "\(folder)/log", encoding: .utf8)
                throw CommandError("nginx does not answer: \(said ?? "it said nothing")")
            }
            usleep(10_000)
        }
    }

    func stop() {
        kill(child, SIGTERM)
        waitpid(child, nil, 0)
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// Makes a client, whose connections begin in the namespace.
    func client(patience: Duration = .seconds(60)) throws -> APIClient {
        var credentials = Credentials(server: "https://127.0.0.1:8443")
        credentials.skipsVerification = true
        var limits = APIClient.Patience()
        (limits.request, limits.watch) = (patience, .seconds(600))
        // The client's only thread is started here, and is to stay in the namespace.
        return try namespace.inside { APIClient(credentials, patience: limits) }
    }

    /// How many connections clients have made so far, except those that ask for this.
    func connections() throws -> Int {
        // "accepts handled requests", and below them their numbers
        let words = try status().split(whereSeparator: \.isWhitespace)
        guard let title = words.firstIndex(of: "requests"), let count = Int(words[title + 1])
        else { throw CommandError("nginx does not say how many connections it has accepted") }
        return count - questions
    }

    private func status() throws -> String {
        let text = try namespace.run(["curl", "-sf", "http://127.0.0.1:8080/"])
        questions += 1
        return text
    }
}
