import EmbeddedAPIServer
import FoundationEssentials
import Glibc
import NetworkNamespaces
import TestSupport
import Testing

/// Tests of the embedded API server with kubectl.
@Suite(.timeLimit(.minutes(30))) struct KubectlTests {
    private let server = APIServer()
    private let url: String
    private let folder: String

    init() throws {
        let listener = try server.listen()
        listener.start()
        url = listener.url
        folder = FileManager.default.temporaryDirectory.path() + "needletail-test-\(UUID())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    private func finish() {
        server.stop()
        try? FileManager.default.removeItem(atPath: folder)
    }

    @discardableResult
    private func kubectl(_ arguments: String..., input: String = "") throws -> String {
        try Command.run(command + arguments, input: input)
    }

    private var command: [String] {
        ["env", "HOME=\(folder)", "KUBECONFIG=", "kubectl", "-s", url, "--request-timeout=30s"]
    }

    private let manifest = """
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]}
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
        addressType: IPv4
        ports: [{name: http, port: 8080}]
        endpoints: [{addresses: [10.244.1.2]}]
        ---
        apiVersion: v1
        kind: Endpoints
        metadata: {name: web}
        subsets: [{addresses: [{ip: 10.244.1.2}], ports: [{port: 8080}]}]
        ---
        apiVersion: v1
        kind: Node
        metadata: {name: node9}

        """

    @Test func `apply makes, changes and leaves alone`() throws {
        defer { finish() }
        let made = try kubectl("apply", "-f", "-", input: manifest)
        #expect(made.split(separator: "\n").count == 4 && made.contains("service/web created"))
        let again = try kubectl("apply", "-f", "-", input: manifest)
        #expect(again.split(separator: "\n").allSatisfy { $0.hasSuffix("unchanged") }, "\(again)")
        let changed = try kubectl(
            "apply",
            "-f",
            "-",
            input: manifest.replacing("port: 80}", with: "port: 81}")
        )
        #expect(changed.contains("service/web configured"))
        let ports = try kubectl("get", "svc", "web", "-o", "jsonpath={.spec.ports[*].port}")
        #expect(ports == "81 53")
    }

    @Test func `get shows tables, names, selections and whole objects`() throws {
        defer { finish() }
        try kubectl("apply", "-f", "-", input: manifest)
        let table = try kubectl("get", "svc,endpointslices,endpoints,nodes,servicecidrs")
        for text in ["service/web", "80/TCP,53/UDP", "web-1", "10.244.1.2", "node/node9"] {
            #expect(table.contains(text), "\(table)")
        }
        #expect(try kubectl("get", "svc", "-o", "name") == "service/web\n")
        try kubectl("label", "svc", "web", "tier=front")
        #expect(try kubectl("get", "svc", "-l", "tier=front", "-o", "name") == "service/web\n")
        #expect(try !kubectl("get", "svc", "-l", "tier!=front").contains("web"))
        #expect(
            try kubectl("get", "nodes", "--field-selector", "metadata.name=node9", "-o", "name")
                == "node/node9\n"
        )
        #expect(try kubectl("get", "ep", "web", "-o", "yaml").contains("ip: 10.244.1.2"))
    }

    @Test func `patch takes all three kinds`() throws {
        defer { finish() }
        try kubectl("apply", "-f", "-", input: manifest)
        try kubectl("patch", "svc", "web", "-p", #"{"spec":{"ports":[{"port":80,"nodePort":3}]}}"#)
        try kubectl(
            "patch",
            "svc",
            "web",
            "--type",
            "merge",
            "-p",
            #"{"spec":{"type":"NodePort"}}"#
        )
        try kubectl(
            "patch",
            "endpointslice",
            "web-1",
            "--type",
            "json",
            "-p",
            #"[{"op":"add","path":"/endpoints/-","value":{"addresses":["10.244.1.3"]}}]"#
        )
        let service = server.objects("Service")[0]
        #expect(service["spec"]["type"] == "NodePort")
        #expect(service["spec"]["ports"].array?.map { $0["port"] } == [80, 53])
        #expect(service["spec"]["ports"].array?[0]["nodePort"] == 3)
        #expect(server.objects("EndpointSlice")[0]["endpoints"].array?.count == 2)
    }

    @Test func `delete removes, and says what is not there`() throws {
        defer { finish() }
        try kubectl("apply", "-f", "-", input: manifest)
        try kubectl("delete", "-f", "-", input: manifest)
        for kind in ["Service", "EndpointSlice", "Endpoints", "Node"] {
            #expect(server.objects(kind).isEmpty)
        }
        let error = #expect(throws: CommandError.self) { try kubectl("delete", "svc", "web") }
        #expect(error?.description.contains(#"services "web" not found"#) == true)
    }

    @Test func `watch tells what changes`() throws {
        defer { finish() }
        try kubectl("apply", "-f", "-", input: manifest)
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { close(ends[0]) }
        let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
        let child = try Command.start(
            command + ["get", "svc", "-w", "-o", "name"],
            input: null,
            output: ends[1]
        )
        defer {
            kill(child, SIGKILL)
            waitpid(child, nil, 0)
        }
        close(null)
        close(ends[1])
        #expect(line(ends[0]) == "service/web")
        try server.apply(Sample.service("api"))
        #expect(line(ends[0]) == "service/api")
    }

    private func line(_ descriptor: Int32) -> String {
        var result = ""
        var byte: UInt8 = 0
        while read(descriptor, &byte, 1) == 1, byte != UInt8(ascii: "\n") {
            result.unicodeScalars.append(Unicode.Scalar(byte))
        }
        return result
    }
}
