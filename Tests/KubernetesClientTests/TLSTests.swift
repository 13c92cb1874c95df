import FoundationEssentials
import Glibc
@testable import KubernetesClient
import NetworkNamespaces
import TestSupport
import Testing

/// Tests of certificates, with a server that keeps its connections and names the client it sees.
@Suite(.timeLimit(.minutes(30))) struct TLSTests {
    private let folder: String
    private let child: pid_t
    private let port: String

    private static let script = """
        import http.server, ssl, sys
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            def do_GET(self):
                subject = dict(pair[0] for pair in self.connection.getpeercert()["subject"])
                body = (subject["commonName"] + " " + self.headers.get("Authorization", "")).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            def log_message(self, *arguments): pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain("server.crt", "server.key")
        context.load_verify_locations("ca.crt")
        context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
        print(server.server_address[1], flush=True)
        server.serve_forever()
        """

    init() throws {
        folder = FileManager.default.temporaryDirectory.path() + "needletail-test-\(UUID())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let key = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        try Command.run([
            "sh", "-ec",
            """
            cd \(folder)
            \(key) -x509 -days 2 -subj /CN=ca -keyout ca.key -out ca.crt 2>/dev/null
            \(key) -x509 -days 2 -subj /CN=other -keyout other.key -out other.crt 2>/dev/null
            echo subjectAltName=DNS:api.test > names
            for name in server one two; do
              \(key) -subj /CN=$name -keyout $name.key -out $name.csr 2>/dev/null
              openssl x509 -req -days 2 -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial \
                -extfile names -out $name.crt 2>/dev/null
            done
            cp one.crt client.crt; cp one.key client.key
            """,
        ])
        try Data(Self.script.utf8).write(to: URL(filePath: "\(folder)/server.py"))
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        child = try Command.start(
            ["sh", "-c", "cd \(folder); exec python3 -B server.py"],
            input: ends[0],
            output: ends[1]
        )
        var text = [UInt8](repeating: 0, count: 16)
        let count = read(ends[0], &text, text.count)
        port = String(decoding: text.prefix(max(0, count)), as: UTF8.self)
            .filter(\.isNumber)
    }

    private func finish() {
        kill(child, SIGKILL)
        waitpid(child, nil, 0)
        try? FileManager.default.removeItem(atPath: folder)
    }

    private var credentials: Credentials {
        var credentials = Credentials(server: "https://127.0.0.1:\(port)")
        credentials.certificateAuthority = .file("\(folder)/ca.crt")
        credentials.clientCertificate = .file("\(folder)/client.crt")
        credentials.clientKey = .file("\(folder)/client.key")
        credentials.serverName = "api.test"
        return credentials
    }

    private func whoami(_ client: APIClient) async throws -> String {
        String(decoding: try await client.send("GET", "/"), as: UTF8.self)
    }

    @Test func `renewed certificates and tokens are picked up`() async throws {
        defer { finish() }
        var credentials = credentials
        credentials.token = .file("\(folder)/token")
        try Data("first\n".utf8).write(to: URL(filePath: "\(folder)/token"))
        let client = APIClient(credentials)
        #expect(try await whoami(client) == "one Bearer first")
        #expect(try await whoami(client) == "one Bearer first")
        try Command.run([
            "sh", "-ec",
            "cd \(folder); mv two.crt client.crt; mv two.key client.key; echo second > token",
        ])
        #expect(try await whoami(client) == "two Bearer second")
    }

    @Test func `who the server is, is checked`() async throws {
        defer { finish() }
        var wrongName = credentials
        wrongName.serverName = nil
        var wrongAuthority = credentials
        wrongAuthority.certificateAuthority = .file("\(folder)/other.crt")
        for credentials in [wrongName, wrongAuthority] {
            let error = await #expect(throws: ClientError.self) {
                try await whoami(APIClient(credentials))
            }
            #expect("\(error!)".lowercased().contains("certificate"), "\(error!)")
        }
        var trusting = wrongName
        trusting.skipsVerification = true
        trusting.certificateAuthority = nil
        #expect(try await whoami(APIClient(trusting)) == "one ")
    }

    @Test func `a file that is missing is named`() async throws {
        defer { finish() }
        try FileManager.default.removeItem(atPath: "\(folder)/client.key")
        let error = await #expect(throws: ClientError.self) {
            try await whoami(APIClient(credentials))
        }
        #expect(error?.description.contains("\(folder)/client.key cannot be read") == true)
    }
}
