import FoundationEssentials
import KubernetesModel
import ManifestSource
import TestSupport
import Testing

@Suite struct ManifestReaderTests {
    private func read(_ name: String) throws -> [KubernetesObject] {
        try ManifestReader(file: name).objects(in: Fixture.text("Fixtures/manifests/\(name)"))
    }

    private func counts(_ objects: [KubernetesObject]) -> [Int] {
        [
            objects.count { if case .service = $0 { true } else { false } },
            objects.count { if case .endpointSlice = $0 { true } else { false } },
            objects.count { if case .node = $0 { true } else { false } },
        ]
    }

    @Test func `reads what users have`() throws {
        #expect(try counts(read("service-and-slice.yaml")) == [1, 1, 0])
        #expect(try counts(read("list-kubectl-get.yaml")) == [6, 5, 1])
        #expect(try counts(read("list-kubectl-get.json"))[0] > 0)
        #expect(try counts(read("servicelist-raw.json"))[0] > 0)
        #expect(try counts(read("applied-service-with-managed-fields.yaml"))[0] == 1)
    }

    @Test func `anchors, merge keys and hexadecimal ports mean what YAML says`() throws {
        let ports = try read("anchors-aliases.yaml").flatMap { object in
            if case .service(let service) = object { service.ports.map(\.port) } else { [UInt16]() }
        }
        #expect(ports.contains(443))
    }

    @Test func `other kinds among ours are passed over`() throws {
        let objects = try read("mixed-kinds.yaml")
        #expect(counts(objects)[0] >= 2)
    }

    @Test func `a syntax error tells file and line`() throws {
        let error = #expect(throws: ManifestError.self) { try read("broken-syntax.yaml") }
        #expect(error?.file == "broken-syntax.yaml")
        #expect(error?.line != nil)
        #expect(error?.description.contains("is no valid YAML") == true)
    }

    @Test func `a type error tells file, line and field`() throws {
        let error = #expect(throws: ManifestError.self) { try read("broken-types.yaml") }
        #expect(error?.problem.field == "spec.ports[0].port")
        let lines = try Fixture.text("Fixtures/manifests/broken-types.yaml").split(
            separator: "\n",
            omittingEmptySubsequences: false
        )
        let line = try #require(error?.line)
        #expect(lines[line - 1].contains("port:"), "\(lines[line - 1])")
    }

    @Test(arguments: ["", "\n", "# a comment\n", "---\n", "---\n# a\n---\nnull\n"])
    func `nothing at all is an error, as a half written file has it`(text: String) {
        let error = #expect(throws: ManifestError.self) {
            try ManifestReader(file: "a.yaml").objects(in: text)
        }
        #expect(error?.description.hasPrefix("a.yaml: is empty") == true)
    }

    @Test(arguments: [
        "{apiVersion: v1, kind: List, items: []}", "{\"apiVersion\":\"v1\",\"kind\":\"List\"}",
        "apiVersion: v1\nkind: ServiceList\nitems:\n", "{apiVersion: v1, kind: ConfigMap}",
    ])
    func `an empty List says that there are no objects`(text: String) throws {
        #expect(try ManifestReader(file: "a.yaml").objects(in: text).isEmpty)
    }

    @Test(arguments: [
        "{apiVersion: v1, kind: List, items: [*, *, *, *]}", "[*, *, *, *]",
        "{a: *, b: *, c: *, d: *}",
    ])
    func `aliases that stand for too much are an error`(level: String) throws {
        var text = "apiVersion: v1\nkind: List\nanchors:\n- &a0 {apiVersion: v1, kind: List}\n"
        for number in 1...40 {
            text += "- &a\(number) \(level.replacing("*", with: "*a\(number - 1)"))\n"
        }
        let error = #expect(throws: ManifestError.self) {
            try ManifestReader(file: "a.yaml").objects(in: text + "items: [*a40]\n")
        }
        #expect(error?.description.contains("aliases stand for too much") == true)
    }

    @Test func `aliases within reason are taken`() throws {
        let service =
            "&a {apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: 10.0.0.1}}"
        let aliases = String(repeating: "- *a\n", count: 1000)
        let text = "apiVersion: v1\nkind: List\nitems:\n- \(service)\n\(aliases)"
        #expect(try ManifestReader(file: "a.yaml").objects(in: text).count == 1001)
    }

    @Test func `an error in JSON tells the line too`() throws {
        let text =
            "{\"kind\": \"Service\", \"apiVersion\": \"v1\",\n \"metadata\": {\"name\": \"a\"},\n \"spec\": {\"ports\": [{\n\"port\": \"http\"}]}}"
        let error = #expect(throws: ManifestError.self) {
            try ManifestReader(file: "a.json").objects(in: text)
        }
        #expect(error?.description == "a.json:4: spec.ports[0].port: is not a whole number")
    }
}

@Suite struct ManifestSourceTests {
    private let directory = FileManager.default.temporaryDirectory.appending(
        path: "needletail-test-\(UUID().uuidString)"
    )

    private func write(_ text: String, to name: String) throws {
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        try Data(text.utf8).write(to: directory.appending(path: name))
    }

    private func service(_ name: String) -> String {
        "{apiVersion: v1, kind: Service, metadata: {name: \(name)}, spec: {clusterIP: 10.96.0.1}}\n"
    }

    @Test func `a file that breaks keeps its last good objects`() throws {
        defer { try? FileManager.default.removeItem(at: directory) }
        try write(service("a"), to: "a.yaml")
        try write(service("b"), to: "b.yml")
        try write("not a manifest", to: "notes.txt")
        try write(service("c"), to: ".hidden.yaml")
        var source = ManifestSource(path: directory.path())
        #expect(source.load().objects.count == 2)
        try write("{kind: [", to: "a.yaml")
        let broken = source.load()
        #expect(broken.objects.count == 2)
        #expect(broken.errors.count == 1)
        try FileManager.default.removeItem(at: directory.appending(path: "a.yaml"))
        #expect(source.load().objects.count == 1)
    }

    @Test func `a file that is emptied keeps its last good objects, an empty List takes them`()
        throws
    {
        defer { try? FileManager.default.removeItem(at: directory) }
        try write(service("a"), to: "a.yaml")
        var source = ManifestSource(path: directory.path())
        #expect(source.load().objects.count == 1)
        try write("", to: "a.yaml")
        let empty = source.load()
        #expect(empty.objects.count == 1 && empty.errors.count == 1)
        try write("{apiVersion: v1, kind: List, items: []}", to: "a.yaml")
        let none = source.load()
        #expect(none.objects.isEmpty && none.errors.isEmpty)
    }

    @Test func `the null device says that there are no objects`() {
        var source = ManifestSource(path: "/dev/null")
        let result = source.load()
        #expect(result.objects.isEmpty && result.errors.isEmpty)
    }

    @Test func `a renamed file rings the bell`() async throws {
        defer { try? FileManager.default.removeItem(at: directory) }
        try write(service("a"), to: "a.yaml")
        let source = ManifestSource(path: directory.appending(path: "a.yaml").path())
        var changes = try source.changes().makeAsyncIterator()
        try write(service("b"), to: "new")
        _ = await changes.next()
        var reader = source
        #expect(reader.load().objects.count == 1)
    }

    @Test func `a path that is not there is an error`() {
        var source = ManifestSource(path: "/nonexistent/needletail")
        #expect(
            source.load().errors.first?.description
                == "/nonexistent/needletail: cannot be read: No such file or directory"
        )
        #expect(throws: ManifestError.self) { try source.changes() }
    }
}
