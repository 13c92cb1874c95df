import BinarySupport
import Foundation
import Logging
import NetworkTypes
import Observability
import ServicePlan
import Testing

/// Tests that any name in any machine-readable output is read back as one name.
@Suite struct OutputTests {
    /// Texts that contain each byte, alone and beside others.
    ///
    /// Bytes that are not UTF-8 have become replacement characters.
    static let names: [String] =
        (0...255).flatMap { byte in
            [
                [byte], [0x61, byte, 0x62], [byte, 0x0A], [0x0D, byte], [0xC2, byte],
                [0xE2, 0x80, byte],
            ].map {
                String(decoding: $0, as: UTF8.self)
            }
        } + ["\"} 1\nevil{a=\"", "\\", "\\\"", "a\\nb", "\r\n", "\u{1B}]0;title\u{7}", "\u{202E}"]

    private func isHarmless(_ text: String) -> Bool {
        text.replacing("\n", with: "").printable == text.replacing("\n", with: "")
    }

    @Test(arguments: [false, true])
    func `labels of metrics`(openMetrics: Bool) throws {
        for name in Self.names {
            let gauge = Gauge("g", "help", labels: ["l"])
            gauge.set(1, name)
            let text = Exposition.text([gauge], openMetrics: openMetrics)
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            #expect(lines.count == (openMetrics ? 5 : 4) && lines[2].hasPrefix("g{l=\""), "\(text)")
            let value = lines[2].dropFirst("g{l=\"".count).dropLast("\"} 1".count)
            #expect(try unescaped(String(value)) == name.printable)
            #expect(isHarmless(String(value)))
        }
    }

    /// Unescapes a value like Prometheus' parser; no quotation mark may end the value early.
    private func unescaped(_ text: String) throws -> String {
        var result = String.UnicodeScalarView()
        var isEscaped = false
        for scalar in text.unicodeScalars {
            if isEscaped {
                result.append(scalar == "n" ? "\n" : scalar)
                isEscaped = false
            } else if scalar == "\\" {
                isEscaped = true
            } else {
                try #require(scalar != "\"")
                result.append(scalar)
            }
        }
        #expect(!isEscaped)
        return String(result)
    }

    @Test func `two names that look the same are one sample`() {
        let counter = Counter("c_total", "help", labels: ["l"])
        counter.add(1, "a\nb")
        counter.add(2, "a\\nb")
        let text = Exposition.text([counter], openMetrics: false)
        #expect(text.contains("c_total{l=\"a\\\\nb\"} 3\n"), "\(text)")
    }

    @Test func `JSON`() throws {
        for name in Self.names {
            for isPretty in [false, true] {
                let text = jsonText(["name": name], pretty: isPretty)
                #expect(isHarmless(text), "\(text)")
                let read = try JSONDecoder().decode([String: String].self, from: Data(text.utf8))
                #expect(read.map { Array($0.value.utf8) } == [Array(name.utf8)])
            }
        }
    }

    @Test func `the reason why the node is not ready is one line`() {
        var health = ProxyHealth(families: [.ipv4], patience: 1, now: .now)
        for name in Self.names {
            health.reasonNotReady = name
            let body = health.readiness().body
            #expect(body.hasSuffix("\n") && body.dropLast().allSatisfy { !$0.isNewline })
            #expect(isHarmless(body))
        }
    }
}
