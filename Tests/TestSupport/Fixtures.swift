package import FoundationEssentials

/// The files in the folders beside the tests.
package enum Fixture {
    package static let root = String(
        #filePath.split(separator: "/").dropLast(2).map { "/\($0)" }.joined()
    )

    package static func data(_ path: String) throws -> Data {
        try Data(contentsOf: URL(filePath: "\(root)/\(path)"))
    }

    package static func text(_ path: String) throws -> String {
        String(decoding: try data(path), as: UTF8.self)
    }
}

extension Fixture {
    /// The recorded messages of ctnetlink, by their names.
    package static func trackingMessages() throws -> [String: [UInt8]] {
        let lines = try text("Fixtures/ctnetlink.txt").split(separator: "\n")
        return Dictionary(
            uniqueKeysWithValues: lines.filter { !$0.hasPrefix("#") }.map { line in
                let parts = line.split(separator: ": ")
                let digits = Array(parts[1].utf8)
                let bytes = stride(from: 0, to: digits.count, by: 2).map { index in
                    UInt8(String(decoding: digits[index..<index + 2], as: UTF8.self), radix: 16)
                }
                return (String(parts[0]), bytes.compactMap(\.self))
            }
        )
    }
}
