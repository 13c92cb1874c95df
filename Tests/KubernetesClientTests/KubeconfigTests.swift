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

    @Test(arguments: [("", "http://h:1"), (", insecure-skip-tls-verify: true", "https://h:1")])
    func `a server without a scheme is asked as client-go asks it`(
        more: String,
        expected: String
    ) throws {
        let text =
            "{current-context: c, contexts: [{name: c, context: {cluster: c}}], clusters: [{name: c, cluster: {server: 'h:1'\(more)}}]}"
        let config = try Kubeconfig(Data(text.utf8), path: "/config")
        let credentials = try KubeconfigReader(config: config, paths: "/config")
            .credentials(context: nil, master: nil)
        #expect(credentials.server == expected)
    }

    @Test func `a certificate authority without a certificate is refused`() throws {
        let file = FileManager.default.temporaryDirectory.path() + "needletail-test-\(UUID())"
        defer { try? FileManager.default.removeItem(atPath: file) }
        try "half-writ".write(toFile: file, atomically: true, encoding: .utf8)
        var credentials = Credentials(server: "https://h:1")
        credentials.certificateAuthority = .file(file)
        let error = #expect(throws: ClientError.self) { try credentials.withAuthorityRead() }
        #expect(error?.description.contains("\(file) holds no PEM certificate") == true)
        let pem = "-----BEGIN CERTIFICATE-----\n"
        try pem.write(toFile: file, atomically: true, encoding: .utf8)
        #expect(
            try credentials.withAuthorityRead().certificateAuthority == .inline(Array(pem.utf8))
        )
    }

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

    @Test func `aliases that stand for too much are an error`() {
        var text = "apiVersion: v1\nkind: Config\nextensions:\n- &a0 {name: a}\n"
        for number in 1...40 {
            let alias = "*a\(number - 1)"
            text += "- &a\(number) [\(alias), \(alias), \(alias)]\n"
        }
        let error = #expect(throws: ClientError.self) { try credentials(text) }
        #expect(error.map { "\($0)" }?.contains("aliases stand for too much") == true)
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
        (
            """
            {current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
            clusters: [{name: c, cluster: {server: x}}],
            users: [{name: u, user: {auth-provider: {name: gcp, config: {token: s3cret}}}}]}
            """, "auth-provider gcp, which Kubernetes gave up"
        ),
        (
            """
            {current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
            clusters: [{name: c, cluster: {server: x}}],
            users: [{name: u, user: {client-key-data: "s3cret!", client-certificate: c}}]}
            """, "client-key-data of user u is not base64"
        ),
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

    /// Writes each kubeconfig to its own folder, and calls the closure with their paths.
    private func folders(_ texts: [String], _ body: ([String]) throws -> Void) throws {
        let root = FileManager.default.temporaryDirectory.path() + "needletail-test-\(UUID())"
        defer { try? FileManager.default.removeItem(atPath: root) }
        let paths = try texts.enumerated().map { index, text in
            try FileManager.default.createDirectory(
                atPath: "\(root)/\(index)",
                withIntermediateDirectories: true
            )
            try Data(text.utf8).write(to: URL(filePath: "\(root)/\(index)/config"))
            return "\(root)/\(index)/config"
        }
        try body(paths)
    }

    @Test func `of several files the first that says something counts`() throws {
        let first = """
            contexts: [{name: one, context: {cluster: c, user: u}}]
            clusters: [{name: c, cluster: {server: "https://first"}}]
            """
        let second = """
            current-context: one
            contexts:
            - {name: one, context: {cluster: lost, user: lost}}
            - {name: two, context: {cluster: d, user: u}}
            clusters:
            - {name: c, cluster: {server: "https://lost"}}
            - {name: d, cluster: {server: "https://second", proxy-url: "http://proxy:3128"}}
            users:
            - {name: u, user: {tokenFile: token, as: jane, as-groups: [admins, ops]}}
            """
        try folders([first, second]) { paths in
            let list = "\(paths[0]):/nonexistent/config:\(paths[1])"
            let one = try Credentials.kubeconfig(paths: list)
            #expect(one.server == "https://first")
            #expect(one.token == .file("\(paths[1].dropLast("config".count))token"))
            #expect(
                one.impersonation.map { "\($0.name): \($0.value)" } == [
                    "Impersonate-User: jane", "Impersonate-Group: admins",
                    "Impersonate-Group: ops",
                ]
            )
            let two = try Credentials.discovered(context: "two", ["KUBECONFIG": list])
            #expect(two.server == "https://second" && two.proxy == "http://proxy:3128")
            let error = #expect(throws: ClientError.self) {
                try Credentials.kubeconfig(paths: "/nonexistent/a:/nonexistent/b")
            }
            #expect(error?.description.contains("none of the files exists") == true)
        }
    }

    @Test func `in a pod the pod's credentials come before the home directory's`() throws {
        try folders([complete]) { paths in
            let home = String(paths[0].dropLast("/config".count))
            try FileManager.default.createDirectory(
                atPath: "\(home)/.kube",
                withIntermediateDirectories: true
            )
            try Data(complete.utf8).write(to: URL(filePath: "\(home)/.kube/config"))
            #expect(try Credentials.discovered(["HOME": home]).serverName == "api")
            let pod = [
                "HOME": home, "KUBERNETES_SERVICE_HOST": "10.96.0.1",
                "KUBERNETES_SERVICE_PORT": "443",
            ]
            #expect(try Credentials.discovered(pod).server == "https://10.96.0.1:443")
        }
    }
}
