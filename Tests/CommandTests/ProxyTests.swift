import BinarySupport
import NetworkNamespaces
import TestSupport
import Testing

/// Tests of HTTPS_PROXY and NO_PROXY, which a process gets from its environment.
@Suite(.timeLimit(.minutes(30))) struct ProxyTests {
    private let namespace: NetworkNamespace
    private let proxy: ScriptedServer

    init() throws {
        let namespace = try NetworkNamespace()
        try namespace.ip(["link set lo up"])
        self.namespace = namespace
        proxy = try namespace.inside { ScriptedServer { _ in .status(403, "not through here") } }
        proxy.start()
    }

    private func render(_ variables: [String]) throws -> Binary.Result {
        try Binary.run(
            ["render", "--master", "https://192.0.2.9:6443", "--hostname-override", "here"],
            in: namespace,
            wrapper: ["env"] + variables
        )
    }

    @Test(arguments: ["HTTPS_PROXY", "https_proxy"])
    func `the proxy of the environment is used`(variable: String) throws {
        defer { proxy.stop() }
        let result = try render(["\(variable)=http://127.0.0.1:\(proxy.port)"])
        #expect(result.status != 0)
        #expect(proxy.requests.first == "CONNECT 192.0.2.9:6443 HTTP/1.1", "\(result.output)")
    }

    @Test func `and not for what it is not meant for`() throws {
        defer { proxy.stop() }
        let result = try render([
            "HTTPS_PROXY=http://127.0.0.1:\(proxy.port)", "NO_PROXY=10.0.0.0/8,192.0.2.0/24",
        ])
        #expect(result.status != 0 && proxy.requests.isEmpty, "\(result.output)")
    }

    @Test func `a kubeconfig's proxy-url comes first`() throws {
        let folder = try Folder()
        defer { proxy.stop() }
        let config = try folder.write(
            """
            current-context: c
            contexts: [{name: c, context: {cluster: c}}]
            clusters:
            - name: c
              cluster: {server: "https://192.0.2.9:6443", proxy-url: "http://127.0.0.1:\(proxy.port)"}
            """,
            to: "config"
        )
        let result = try Binary.run(
            ["render", "--kubeconfig", config, "--hostname-override", "here"],
            in: namespace,
            wrapper: ["env", "HTTPS_PROXY=http://127.0.0.1:1"]
        )
        #expect(result.output.contains("403"), "\(result.output)")
        #expect(proxy.requests.first == "CONNECT 192.0.2.9:6443 HTTP/1.1")
    }
}
