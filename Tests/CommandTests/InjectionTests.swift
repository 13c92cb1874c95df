import BinarySupport
import Foundation
import Logging
import NetworkNamespaces
import NetworkTypes
import TestSupport
import Testing

@testable import needletail

/// Tests with names that would change the meaning of an output if they were printed unchanged.
@Suite(.timeLimit(.minutes(30))) struct InjectionTests {
    /// Texts that contain each byte; bytes that are not UTF-8 became replacement characters.
    private static let names: [String] =
        (0...128).map { String(decoding: [0x61, $0, 0x62], as: UTF8.self) }
        + [
            "\"\n} } table ip attacker { chain c { type filter hook input priority 0; drop; } }\ntable ip x { map y { elements = { \"",
            "\" }; add table ip attacker; \"", "a\r\nb", "\r\n", "\u{1B}[2J\u{1B}]0;x\u{7}",
            "\u{9B}31m",
            "\u{202E}gnp", "\\", "\\\"", "$(id)", "a # b", "é\u{2028}x",
            String(repeating: "\"\n", count: 200),
        ]

    private func isHarmless(_ text: String) -> Bool {
        text.split(separator: "\n").allSatisfy { line in
            let text = line.drop { $0 == "\t" }
            return String(text).printable == text
        }
    }

    @Test func `a line of the log is one line, of both formats`() throws {
        for name in Self.names {
            let line = LogLine(
                time: 1_700_000_000.25,
                level: .warning,
                label: "needletail",
                message: "Service \(name) is odd",
                fields: ["error": name, name: "1"]
            )
            #expect(line.text.printable == line.text && line.json.printable == line.json)
            #expect(line.text.hasPrefix("2023-11-14T22:13:20.250Z warning needletail: Service "))
            let fields = try #require(
                try JSONSerialization.jsonObject(with: Data(line.json.utf8)) as? [String: Any]
            )
            #expect(fields["ts"] as? Int == 1_700_000_000_250)
            #expect(
                (fields["msg"] as? String).map { Array($0.utf8) }
                    == Array("Service \(name) is odd".utf8)
            )
            #expect((fields["error"] as? String).map { Array($0.utf8) } == Array(name.utf8))
        }
    }

    @Test func `fields of a log line are told apart`() {
        let line = LogLine(
            time: 0,
            level: .info,
            label: "x",
            message: "m",
            fields: ["a": "1", "b": "two words", "c": "", "d": "say \"x\"", "e": "k=v"]
        )
        #expect(
            line.text
                == #"1970-01-01T00:00:00.000Z info x: m a=1 b="two words" c="" d="say \"x\"" e="k=v""#
        )
    }

    /// A manifest of Services with these names, whose addresses contain their number.
    private var manifest: String {
        get throws {
            let services = Self.names.enumerated().map { number, name in
                [
                    "apiVersion": "v1", "kind": "Service",
                    "metadata": ["name": "n\(name)", "namespace": "shop"],
                    "spec": [
                        "clusterIP": "10.96.\(number / 200).\(number % 200 + 1)",
                        "externalIPs": ["no address \(name)"],
                        "ports": [["name": "p\(name)", "port": 80]],
                    ],
                ] as [String: Any]
            }
            let list = ["apiVersion": "v1", "kind": "List", "items": services] as [String: Any]
            let data = try JSONSerialization.data(withJSONObject: list)
            return String(decoding: data, as: UTF8.self)
        }
    }

    @Test func `nft loads what is rendered as our tables, and nothing else`() throws {
        let namespace = try NetworkNamespace()
        let folder = try Folder()
        let file = try folder.write(try manifest, to: "services.json")
        let rendered = try Binary.run(["render", "-o", "nft", "--manifests", file], in: namespace)
        #expect(rendered.status == 0 && isHarmless(rendered.output))
        // The warnings are on the same stream.
        let script = rendered.output.split(separator: "\n", omittingEmptySubsequences: false)
            .filter { !$0.hasPrefix("needletail: warning: ") }.joined(separator: "\n")
        try folder.write(script, to: "rules.nft")
        let nft = try Command.run([
            "\(Fixture.root)/../scripts/newer-nft", "\(Fixture.root)/../.cache/newer-nft",
        ]).split(separator: "\n").last.map(String.init)
        try namespace.run([try #require(nft), "-f", "\(folder.path)/rules.nft"])
        let tables = try namespace.run(["nft", "list", "tables"]).sortedLines
        #expect(tables == ["table ip needletail", "table ip6 needletail"])
        let loaded = try namespace.run(["nft", "list", "set", "ip", "needletail", "frontends"])
        // The elements are those that we program ourselves; rules may differ, since they are
        // rendered so that older versions of nft can read them, too.
        let diff = try Binary.run(["diff", "--manifests", file], in: namespace)
        #expect(!diff.output.contains("element"), "\(diff.output)")
        #expect(try Binary.run(["run", "--once", "--manifests", file], in: namespace).status == 0)
        #expect(
            try namespace.run(["nft", "list", "set", "ip", "needletail", "frontends"]) == loaded
        )
        #expect(isHarmless(try namespace.run(["nft", "list", "ruleset"])))
    }

    @Test
    func `the plan has a line for each Service and frontend, and explain and diff are harmless`()
        throws
    {
        let namespace = try NetworkNamespace()
        let folder = try Folder()
        let file = try folder.write(try manifest, to: "services.json")
        let plan = try Binary.run(["render", "-o", "plan", "--manifests", file], in: namespace)
        let lines = plan.output.split(separator: "\n").filter {
            !$0.hasPrefix("needletail: warning: ")
        }
        #expect(isHarmless(plan.output))
        #expect(lines.filter { $0.hasPrefix("service shop/n") }.count == Self.names.count)
        #expect(lines.filter { $0.hasPrefix("  10.96.") }.count == Self.names.count)
        #expect(lines.count == 2 * Self.names.count)
        for command in [
            ["explain", "10.96.0.132"], ["diff"], ["explain", "10.96.0.132", "-o", "json"],
        ] {
            let result = try Binary.run(command + ["--manifests", file], in: namespace)
            #expect(
                isHarmless(result.output) && result.output.contains("10.96.0.132"),
                "\(command)"
            )
        }
        let json = try Binary.run(["render", "-o", "json", "--manifests", file], in: namespace)
        let text = json.output.split(separator: "\n").filter {
            !$0.hasPrefix("needletail: warning: ")
        }
        .joined(separator: "\n")
        #expect(isHarmless(text))
        let read = try #require(
            try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: [[String: Any]]]
        )
        let names = Set((read["services"] ?? []).compactMap { $0["service"] as? String })
        #expect(names == Set(Self.names.map { "shop/n\($0)" }))
    }
}
