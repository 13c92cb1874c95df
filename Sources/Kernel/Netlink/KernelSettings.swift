internal import Glibc
package import Logging

/// Kernel settings that a feature needs: sysctls of this network namespace, and similar files.
package struct KernelSettings: Sendable {
    package struct Setting: Sendable, Hashable {
        /// The path below `/proc/sys`, such as `net/ipv4/ip_forward`, or an absolute path.
        package let name: String
        package let value: String
        /// The reason, which continues the error "cannot be set to …": `or nothing is forwarded`.
        package let why: String

        package init(_ name: String, _ value: String, _ why: String) {
            (self.name, self.value, self.why) = (name, value, why)
        }

        fileprivate var path: String { name.hasPrefix("/") ? name : "/proc/sys/\(name)" }

        fileprivate var label: String {
            name.hasPrefix("/") ? name : "sysctl \(name.replacing("/", with: "."))"
        }
    }

    private let wanted: [Setting]

    package init(_ wanted: [Setting]) { self.wanted = wanted }

    /// Sets the values that differ, and logs each change.
    ///
    /// - Parameter isNeeded: whether a failure is logged as an error, or only as a notice
    package func apply(_ logger: Logger, isNeeded: Bool = true) {
        for setting in wanted {
            let present = Self.read(setting.path)
            guard present != setting.value else { continue }
            if Self.write(setting.path, setting.value) {
                logger.info("\(setting.label) was \(present ?? "absent"), is \(setting.value) now")
            } else {
                logger.log(
                    level: isNeeded ? .error : .notice,
                    """
                    \(setting.label) is \(present ?? "absent") and cannot be set to \
                    \(setting.value), \(setting.why); set it on the node, or let an init container \
                    do so (--init-only)
                    """
                )
            }
        }
    }

    /// Returns the first word of a file; nil if the file cannot be read.
    package static func read(_ path: String) -> String? { words(path).map { $0.first ?? "" } }

    /// Returns the words in the first 256 bytes of a file; nil if the file cannot be read.
    package static func words(_ path: String) -> [String]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = Glibc.read(file, &bytes, bytes.count)
        let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        return text.split(whereSeparator: \.isWhitespace).map(String.init)
    }

    private static func write(_ path: String, _ value: String) -> Bool {
        let file = open(path, O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return Glibc.write(file, value, value.utf8.count) == value.utf8.count
    }
}
