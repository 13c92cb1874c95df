import FoundationEssentials
import Glibc
import KubernetesModel
import ManifestSource
import TestSupport
import Testing

/// Folders as kubelets, editors and accidents make them.
@Suite(.timeLimit(.minutes(30))) final class ManifestFolderTests {
    private let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path() + "/needletail-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    private func service(_ name: String) -> String {
        "{apiVersion: v1, kind: Service, metadata: {name: \(name)}, spec: {clusterIP: 10.96.0.1}}\n"
    }

    private func write(_ text: String, to name: String) throws {
        let file = try #require(fopen("\(path)/\(name)", "w"))
        defer { fclose(file) }
        #expect(fwrite(text, 1, text.utf8.count, file) == text.utf8.count)
    }

    private func link(_ name: String, to target: String) {
        #expect(symlink(target, "\(path)/\(name)") == 0, "\(errno)")
    }

    private func names(_ objects: [KubernetesObject]) -> [String] {
        objects.compactMap { if case .service(let service) = $0 { service.name.name } else { nil } }
    }

    /// The names of the Services, and the number of errors.
    private func load(_ source: inout ManifestSource) -> [String] {
        let (objects, errors) = source.load()
        return names(objects)
            + errors.map { "error in \($0.file.split(separator: "/").last ?? "")" }
    }

    // MARK: ConfigMaps

    /// Makes a version of a mounted ConfigMap and shows it, as `AtomicWriter` of the kubelet does
    /// (`pkg/volume/util/atomic_writer.go`).
    private func publish(_ version: String, _ files: [String: String]) throws {
        let old = try FileManager.default.contentsOfDirectory(atPath: path)
        try FileManager.default.createDirectory(
            atPath: "\(path)/\(version)",
            withIntermediateDirectories: true
        )
        for (name, text) in files { try write(text, to: "\(version)/\(name)") }
        link("..data_tmp", to: version)
        #expect(rename("\(path)/..data_tmp", "\(path)/..data") == 0)
        for name in files.keys where !old.contains(name) { link(name, to: "..data/\(name)") }
        for name in old where !name.hasPrefix("..") && files[name] == nil {
            try FileManager.default.removeItem(atPath: "\(path)/\(name)")
        }
        for name in old where name.hasPrefix("..20") {
            try FileManager.default.removeItem(atPath: "\(path)/\(name)")
        }
    }

    @Test func `a mounted ConfigMap is read once, by its links, and so is its next version`()
        throws
    {
        try publish("..2026_01", ["a.yaml": service("a"), "b.yaml": service("b"), "note": "x"])
        let other = path + "-link"
        #expect(symlink(path, other) == 0)
        defer { unlink(other) }
        var sources = [path, path + "/", other].map { ManifestSource(path: $0) }
        var file = ManifestSource(path: path + "/a.yaml")
        for index in sources.indices { #expect(load(&sources[index]) == ["a", "b"]) }
        #expect(load(&file) == ["a"])
        try publish("..2026_02", ["a.yaml": service("a2"), "c.json": service("c")])
        for index in sources.indices { #expect(load(&sources[index]) == ["a2", "c"]) }
        #expect(load(&file) == ["a2"])
        try publish("..2026_03", [:])
        for index in sources.indices { #expect(load(&sources[index]) == []) }
        #expect(load(&file) == ["a2", "error in a.yaml"])
    }

    @Test(arguments: ["", "/", "/a.yaml"])
    func `a new version of a mounted ConfigMap rings the bell`(suffix: String) async throws {
        try publish("..2026_01", ["a.yaml": service("a")])
        var source = ManifestSource(path: path + suffix)
        var changes = try source.changes().makeAsyncIterator()
        #expect(load(&source) == ["a"])
        try publish("..2026_02", ["a.yaml": service("b")])
        // A bell may ring before the new version is complete, but it rings again then.
        while load(&source) != ["b"] { #expect(await changes.next() != nil) }
        #expect(await changes.next() != nil)
    }

    @Test(arguments: ["create", "append", "replace", "rename", "delete", "link"])
    func `each kind of change in a folder rings the bell`(change: String) async throws {
        try write(service("a"), to: "a.yaml")
        // A relative path leads there, too.
        let depth = FileManager.default.currentDirectoryPath.split(separator: "/").count
        let relative = String(repeating: "../", count: depth) + path.drop { $0 == "/" }
        for place in [path, path + "/a.yaml", relative, relative + "/a.yaml"] {
            try write(service("a"), to: "a.yaml")
            var changes = try ManifestSource(path: place).changes().makeAsyncIterator()
            switch change {
            case "create": try write(service("b"), to: "b.yaml")
            case "append":
                let file = try #require(fopen("\(path)/a.yaml", "a"))
                fputs("---\n", file)
                fclose(file)
            case "replace":
                try write(service("c"), to: ".a.yaml.tmp")
                #expect(rename("\(path)/.a.yaml.tmp", "\(path)/a.yaml") == 0)
            case "rename": #expect(rename("\(path)/a.yaml", "\(path)/z.yaml") == 0)
            case "delete": #expect(unlink("\(path)/a.yaml") == 0)
            default: link("link-\(UUID().uuidString).yaml", to: "a.yaml")
            }
            #expect(await changes.next() != nil, "\(change) \(place)")
        }
    }

    // MARK: Names

    @Test func `any name that ends as a manifest's is read, and no other`() throws {
        let read = [
            " .yaml", "#x.yml", "%41.yaml", "?.json", "A b.yaml", "a\nb.yaml", "a\"'.yaml",
            "a%20b.yaml", "a.b.yml", "a\\.yaml", "~.yaml", "ü.json", "漢.yaml",
        ]
        let others = [
            ".yaml", ".a.yaml", "..yaml", "yaml", "a.yaml~", "a.yaml.bak", "a.YAML", "a.yamls",
            "a.yaml ", "#a.yaml#", ".a.yaml.swp", "a.jsonl",
        ]
        for (index, name) in read.enumerated() { try write(service("read-\(index)"), to: name) }
        for name in others { try write(service("other"), to: name) }
        var source = ManifestSource(path: path)
        #expect(load(&source) == read.indices.map { "read-\($0)" })
        for (index, name) in read.enumerated() {
            var file = ManifestSource(path: "\(path)/\(name)")
            #expect(load(&file) == ["read-\(index)"], "\(name)")
        }
    }

    @Test func `what is no file is an error that holds up neither the others nor the reader`()
        throws
    {
        try write(service("good"), to: "good.yaml")
        #expect(mkfifo("\(path)/pipe.yaml", 0o600) == 0)
        #expect(mkdir("\(path)/folder.yaml", 0o700) == 0)
        link("gone.yaml", to: "nowhere")
        link("loop.yaml", to: "loop.yaml")
        link("null.yaml", to: "/dev/null")
        link("zero.yaml", to: "/dev/zero")
        var source = ManifestSource(path: path)
        let wrong = ["folder", "gone", "loop", "pipe", "zero"]
        #expect(load(&source) == ["good"] + wrong.map { "error in \($0).yaml" })
        let reasons = source.load().errors.map(\.problem.reason)
        try #require(reasons.count == wrong.count)
        #expect(reasons[1].contains("No such file or directory"), "\(reasons)")
        #expect(reasons[3].contains("is neither a file nor a directory"), "\(reasons)")
        for name in ["pipe", "zero"] {
            var file = ManifestSource(path: "\(path)/\(name).yaml")
            #expect(load(&file) == ["error in \(name).yaml"])
        }
    }

    @Test
    func `objects outlive a folder or a file that cannot be read, but not one that is masked`()
        throws
    {
        try write(service("a"), to: "a.yaml")
        try write(service("b"), to: "b.yaml")
        var source = ManifestSource(path: path)
        #expect(load(&source) == ["a", "b"])
        #expect(rename(path, path + "-away") == 0)
        let away = source.load()
        #expect(names(away.objects).sorted() == ["a", "b"])
        #expect(away.errors.map(\.problem.reason) == ["cannot be read: No such file or directory"])
        #expect(rename(path + "-away", path) == 0)
        #expect(unlink("\(path)/a.yaml") == 0)
        link("a.yaml", to: "nowhere")
        #expect(load(&source) == ["a", "b", "error in a.yaml"])
        #expect(unlink("\(path)/a.yaml") == 0)
        link("a.yaml", to: "/dev/null")
        #expect(load(&source) == ["b"])
        // What is broken when it comes has no good objects, and gets some when it is mended.
        try write("{", to: "c.yaml")
        #expect(load(&source) == ["b", "error in c.yaml"])
        try write(service("c"), to: "c.yaml")
        #expect(load(&source) == ["b", "c"])
    }

    // MARK: Texts

    @Test(arguments: ["a.yaml", "a.json"])
    func `a file that is cut off anywhere keeps its last objects`(name: String) throws {
        let old = service("old")
        let text = """
            {"apiVersion": "v1", "kind": "List", "items": [
              {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "ü", "namespace": "x"},
               "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}}]}
            """
        var source = ManifestSource(path: path)
        for length in 0..<text.utf8.count {
            try write(old, to: name)
            #expect(load(&source) == ["old"])
            try write(String(decoding: text.utf8.prefix(length), as: UTF8.self), to: name)
            #expect(load(&source) == ["old", "error in \(name)"], "after \(length) bytes")
        }
        try write(text, to: name)
        #expect(load(&source) == ["ü"])
    }

    @Test func `byte order marks, line ends and document ends of other systems are no matter`()
        throws
    {
        let two = "\(service("a"))---\n\(service("b"))"
        let texts = [
            two, "\u{FEFF}\(two)", two.replacing("\n", with: "\r\n"), "---\n\(two)...\n",
            "\n\n\(two)",
            "%YAML 1.2\n---\n\(two)", "# x\n\(two)---\n", "\(two)---\n---\nkind: Pod\n",
        ]
        for text in texts {
            let objects = try ManifestReader(file: "a.yaml").objects(in: text)
            #expect(names(objects) == ["a", "b"], "\(text.debugDescription)")
        }
        let json = #"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}"#
        for text in [json, "\u{FEFF}\(json)", "\r\n\t \(json)\r\n"] {
            #expect(names(try ManifestReader(file: "a").objects(in: text)) == ["a"])
        }
    }

    @Test(arguments: ["\n", "\r\n"])
    func `the line of an error counts from the start of the file`(end: String) {
        let lines = [
            "{apiVersion: v1, kind: List, items: []}", "---", "# a comment", "apiVersion: v1",
            "kind: List", "items:", "- {apiVersion: v1, kind: Pod}", "- apiVersion: v1",
            "  kind: Service", "  metadata: {name: a}", "  spec:", "    ports:", "    - port: 80",
            "    - name: x", "      port: http",
        ]
        let error = #expect(throws: ManifestError.self) {
            try ManifestReader(file: "a.yaml").objects(in: lines.joined(separator: end))
        }
        #expect(error?.line == 15 && error?.problem.field == "items[1].spec.ports[1].port")
        #expect(error?.description.hasPrefix("a.yaml:15: items[1].spec.ports[1].port: ") == true)
    }

    @Test(arguments: 0..<300 as Range<UInt64>)
    func `arbitrary bytes are an error or objects, and are judged the same twice`(seed: UInt64)
        throws
    {
        var random = Seeded(seed)
        var bytes = Array("\(service("a"))---\n- &x [*x, \"\\u0000\"]\n? {k: !!int v}\n".utf8)
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            let index = Int.random(in: 0..<bytes.count, using: &random)
            bytes[index] = UInt8.random(in: .min ... .max, using: &random)
        }
        let file = "\(path)/a.yaml"
        try Data(bytes).write(to: URL(filePath: file))
        var (first, second) = (ManifestSource(path: path), ManifestSource(path: file))
        let results = [first.load(), second.load()]
        #expect(results[0].objects == results[1].objects, "seed \(seed)")
        #expect(results[0].errors == results[1].errors, "seed \(seed)")
        #expect(results[0].errors.isEmpty || results[0].objects.isEmpty, "seed \(seed)")
    }

    // MARK: Order

    @Test func `objects keep their order when the folder cannot be read`() throws {
        for number in 0..<20 { try write(service("s\(number)"), to: "f\(number).yaml") }
        var source = ManifestSource(path: path)
        let before = source.load().objects
        #expect(rename(path, path + "-gone") == 0)
        let (kept, errors) = source.load()
        #expect(kept == before && errors.count == 1)
        #expect(rename(path + "-gone", path) == 0)
    }

    @Test func `names that differ in Unicode normalization only are two files`() throws {
        try write(service("one"), to: "e\u{301}.yaml")
        try write(service("two"), to: "\u{e9}.yaml")
        var source = ManifestSource(path: path)
        #expect(load(&source) == ["one", "two"])
        #expect(load(&source) == ["one", "two"])
    }

    @Test func `a directory with a manifest's name is called one`() throws {
        try FileManager.default.createDirectory(
            atPath: "\(path)/dir.yaml",
            withIntermediateDirectories: true
        )
        var source = ManifestSource(path: path)
        let errors = source.load().errors
        #expect(errors.count == 1)
        #expect(errors.first?.problem.reason.hasPrefix("is a directory") == true)
    }
}
