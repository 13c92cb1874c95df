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
