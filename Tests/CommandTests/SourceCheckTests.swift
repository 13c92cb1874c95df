import BinarySupport
import NetworkNamespaces
import TestSupport
import Testing

/// Shows that the checks of the source tree fail where they must.
@Suite(.timeLimit(.minutes(30))) struct SourceCheckTests {
    private static let scripts = "\(Fixture.root)/../scripts"

    /// Runs a check; returns what it complains of.
    private func check(_ script: String, _ arguments: [String] = [], input: String = "") throws
        -> String
    {
        try Command.run(
            ["sh", "-c", "\"$0\" \"$@\" || true", "\(Self.scripts)/\(script)"] + arguments,
            input: input
        )
    }

    private func package(_ dependency: String, at path: String = "Sources/Plan/Upper") -> String {
        """
        {"targets": [
          {"name": "Lower", "type": "regular", "path": "Sources/Base/Lower", "dependencies": []},
          {"name": "Upper", "type": "regular", "path": "\(path)",
           "dependencies": [{"byName": ["Lower", null]}]},
          {"name": "Highest", "type": "regular", "path": "Sources/Daemon/Highest", "dependencies": []},
          {"name": "Middle", "type": "regular", "path": "Sources/Kernel/Middle",
           "dependencies": [{"byName": ["\(dependency)", null]}]}
        ]}
        """
    }

    @Test func `a target that depends on a higher floor is found`() throws {
        #expect(try check("check-floors", input: package("Upper")).isEmpty)
        #expect(
            try check("check-floors", input: package("Highest")).contains(
                "Middle (Kernel) depends on Highest of the higher floor Daemon"
            )
        )
        #expect(
            try check("check-floors", input: package("Upper", at: "Sources/Upper"))
                .contains("Upper lies on no floor")
        )
    }

    @Test func `a function that is too long is found`() throws {
        let folder = try Folder()
        func complaint(lines: Int) throws -> String {
            let body = String(repeating: "        work()\n", count: lines - 2)
            let text = "struct A {\n    package static func f<T>(\n\(body)    }\n}\n"
            try folder.write(text, to: "a.swift")
            return try check("check-functions", [folder.path + "/a.swift"])
        }
        #expect(try complaint(lines: 60).isEmpty)
        #expect(try complaint(lines: 61).contains("a.swift:2: 61 lines; 60 are the limit"))
    }
}
