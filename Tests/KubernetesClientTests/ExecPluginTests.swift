import EmbeddedAPIServer
import FoundationEssentials
import Glibc
@testable import KubernetesClient
import TestSupport
import Testing

/// Tests of exec plugins that are shell scripts.
@Suite(.timeLimit(.minutes(30))) struct ExecPluginTests {
    private let folder: String

    init() throws {
        folder = FileManager.default.temporaryDirectory.path() + "needletail-test-\(UUID())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    private func finish() { try? FileManager.default.removeItem(atPath: folder) }

    /// Writes a kubeconfig whose user runs the script; each run adds a line to the file `runs`.
    private func credentials(_ server: String, _ script: String) throws -> Credentials {
        try write("echo run >> \(folder)/runs\n\(script)\n", to: "script")
        // The script itself is not run: a child of another test may have it open for writing
        // (ETXTBSY).
        symlink("/bin/sh", "\(folder)/plugin")
        let config = try write(
            """
            current-context: c
            contexts: [{name: c, context: {cluster: c, user: u}}]
            clusters: [{name: c, cluster: {server: "\(server)"}}]
            users:
            - name: u
              user:
                exec:
                  apiVersion: client.authentication.k8s.io/v1
                  command: ./plugin
                  args: ["\(folder)/script", get, token]
                  env: [{name: COLOUR, value: green}]
                  provideClusterInfo: true
                  interactiveMode: IfAvailable
                  installHint: install it from the shop
            """,
            to: "config"
        )
        return try .kubeconfig(paths: config)
    }

    @discardableResult
    private func write(_ text: String, to name: String) throws -> String {
        try Data(text.utf8).write(to: URL(filePath: "\(folder)/\(name)"))
        return "\(folder)/\(name)"
    }

    private func runs() throws -> Int {
        try String(contentsOfFile: "\(folder)/runs", encoding: .utf8).count { $0 == "\n" }
    }

    private func credential(_ status: String) -> String {
        #"echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{\#(status)}}'"#
    }

    private func start(token: String) throws -> (APIServer, String) {
        var configuration = APIServer.Configuration()
        configuration.token = token
        let server = APIServer(configuration)
        let listener = try server.listen()
        listener.start()
        return (server, listener.url)
    }

    @Test func `a token is kept until it expires`() async throws {
        let (server, url) = try start(token: "t")
        defer {
            server.stop()
            finish()
        }
        let soon = Date().addingTimeInterval(3600).formatted(.iso8601)
        let client = APIClient(
            try credentials(url, credential(#""token":"t","expirationTimestamp":"\#(soon)""#))
        )
        for _ in 0..<3 { try await client.send("GET", "/version") }
        #expect(try runs() == 1)
        let past = APIClient(
            try credentials(
                url,
                credential(#""token":"t","expirationTimestamp":"2020-01-01T00:00:00Z""#)
            )
        )
        for _ in 0..<3 { try await past.send("GET", "/version") }
        #expect(try runs() == 4)
    }

    @Test func `after a 401 the plugin is asked again, once`() async throws {
        let (server, url) = try start(token: "t2")
        defer {
            server.stop()
            finish()
        }
        let script =
            #"n=$(wc -l < \#(folder)/runs)"# + "\n"
            + credential(#""token":"t'$n'""#)
        let client = APIClient(try credentials(url, script))
        try await client.send("GET", "/version")
        #expect(try runs() == 2)
        try await client.send("GET", "/version")
        #expect(try runs() == 2)
        let refused = APIClient(try credentials(url, credential(#""token":"never""#)))
        let error = await #expect(throws: ClientError.self) {
            try await refused.send("GET", "/version")
        }
        #expect(error?.status?.code == 401)
        #expect(try runs() == 4)
    }

    @Test func `the plugin learns what it is asked for`() async throws {
        let (server, url) = try start(token: "t")
        defer {
            server.stop()
            finish()
        }
        let script =
            "echo \"$KUBERNETES_EXEC_INFO $COLOUR $*\" > \(folder)/info\n"
            + credential(#""token":"t""#)
        try await APIClient(try credentials(url, script)).send("GET", "/version")
        let info = try String(contentsOfFile: "\(folder)/info", encoding: .utf8)
        #expect(info.hasSuffix("green get token\n"))
        let json = String(info.prefix { $0 != " " })
        let value = try JSONDecoder().decode(JSONValue.self, from: Data(json.utf8))
        #expect(value["kind"] == "ExecCredential")
        #expect(value["spec"]["interactive"] == false)
        #expect(value["spec"]["cluster"]["server"] == .string(url))
    }

    @Test(arguments: [
        ("echo 'who are you' >&2; exit 3", "failed (exited(3)): who are you"),
        ("echo s3cret", "printed no ExecCredential in JSON"),
        (
            #"echo '{"apiVersion":"client.authentication.k8s.io/v1beta1","status":{"token":"s3cret"}}'"#,
            "client.authentication.k8s.io/v1 was asked for"
        ),
        (
            #"echo '{"apiVersion":"client.authentication.k8s.io/v1","status":{}}'"#,
            "neither a token nor a client certificate"
        ),
        (
            #"echo '{"apiVersion":"client.authentication.k8s.io/v1","status":{"clientKeyData":"s3cret","token":"s3cret"}}'"#,
            "the key alone"
        ),
    ])
    func `a plugin that fails is named, its secrets are not`(
        script: String,
        reason: String
    ) async throws {
        defer { finish() }
        let client = APIClient(try credentials("http://127.0.0.1:1", script))
        let error = await #expect(throws: ClientError.self) {
            try await client.send("GET", "/version")
        }
        let text = error?.description ?? ""
        #expect(text.contains(reason) && text.contains("\(folder)/./plugin"), "\(text)")
        #expect(!text.contains("s3cret"))
    }

    @Test func `a plugin that is not there comes with its hint`() async throws {
        defer { finish() }
        var credentials = try credentials("http://127.0.0.1:1", "")
        credentials.plugin?.command = "needletail-no-such-plugin"
        let client = APIClient(credentials)
        let error = await #expect(throws: ClientError.self) {
            try await client.send("GET", "/version")
        }
        #expect(error?.description.contains("install it from the shop") == true)
    }

    @Test func `a plugin that hangs is ended`() async throws {
        defer { finish() }
        let plugin = try #require(
            try credentials("http://127.0.0.1:1", "exec sleep 1000").plugin
        )
        let cache = ExecCredentialCache(plugin, timeLimit: .milliseconds(50))
        let error = await #expect(throws: ClientError.self) { try await cache.current() }
        #expect(error?.description.contains("did not answer within") == true)
    }

    @Test(arguments: [
        ("apiVersion: client.authentication.k8s.io/v1alpha1", "exec.apiVersion"),
        (
            "apiVersion: client.authentication.k8s.io/v1, interactiveMode: Always",
            "needs a terminal"
        ),
    ])
    func `a plugin that cannot be used is refused at the start`(
        fields: String,
        reason: String
    ) throws {
        defer { finish() }
        let config = try write(
            """
            current-context: c
            contexts: [{name: c, context: {cluster: c, user: u}}]
            clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
            users: [{name: u, user: {exec: {command: x, \(fields)}}}]
            """,
            to: "config"
        )
        let error = #expect(throws: ClientError.self) {
            try Credentials.kubeconfig(paths: config)
        }
        #expect(error?.description.contains(reason) == true)
    }
}
