import FoundationEssentials
import KubernetesClient
import Testing

@Suite struct KubeconfigTests {
    private func credentials(_ text: String, master: String? = nil) throws -> Credentials {
        let file = FileManager.default.temporaryDirectory.appending(
            path: "needletail-test-\(UUID().uuidString)"
        )
        try Data(text.utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        return try .kubeconfig(paths: file.path(), master: master)
    }

    private let complete = """
        apiVersion: v1
        kind: Config
        current-context: two
        contexts:
        - {name: one, context: {cluster: c, user: nobody}}
        - {name: two, context: {cluster: c, user: u}}
        clusters:
        - name: c
          cluster: {server: "https://192.0.2.1:6443/", certificate-authority: pki/ca.crt, tls-server-name: api}
        users:
        - name: u
          user: {token: s3cret, client-certificate-data: aGVsbG8=, client-key: /etc/key.pem}
        """

    @Test func `the current context is used, and paths are relative to the file`() throws {
        let credentials = try credentials(complete)
        #expect(credentials.server == "https://192.0.2.1:6443")
        #expect(
            credentials.certificateAuthority
                == .file(FileManager.default.temporaryDirectory.path() + "pki/ca.crt")
        )
        #expect(credentials.clientCertificate == .inline(Array("hello".utf8)))
        #expect(credentials.clientKey == .file("/etc/key.pem"))
        #expect(credentials.token == .inline(Array("s3cret".utf8)))
        #expect(credentials.serverName == "api")
        #expect(
            try self.credentials(complete, master: "http://127.0.0.1:1").server
                == "http://127.0.0.1:1"
        )
    }

    @Test func `secrets are never printed`() throws {
        let credentials = try credentials(complete)
        var dumped = ""
        dump(credentials, to: &dumped)
        dump(APIClient(credentials), to: &dumped)
        for text in [
            "\(credentials)", String(reflecting: credentials), dumped, "\(APIClient(credentials))",
        ] {
            #expect(!text.contains("s3cret") && !text.contains("115, 51"), "\(text)")
        }
    }

    @Test(arguments: [
        ("current-context: x", "has no context named \"x\""),
        ("contexts: []", "has no current-context"),
        ("users: {", "is no valid YAML"),
        ("current-context: [s3cret]", "current-context"),
    ])
    func `what is wrong is told without secrets`(text: String, reason: String) {
        let error = #expect(throws: ClientError.self) { try credentials(text) }
        #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("s3cret") == false)
    }

    @Test func `without a cluster there are no in-cluster credentials`() throws {
        #expect(throws: ClientError.self) { try Credentials.inCluster([:]) }
        let credentials = try Credentials.inCluster([
            "KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443",
        ])
        #expect(credentials.server == "https://[fd00::1]:443")
    }
}
