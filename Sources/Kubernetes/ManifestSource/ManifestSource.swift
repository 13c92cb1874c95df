internal import CNeedleShim
internal import Dispatch
internal import FoundationEssentials
internal import Glibc
package import KubernetesModel

/// The objects of one file, or of all manifests in a directory (`*.yaml`, `*.yml`, `*.json`).
///
/// A file that becomes unreadable or empty keeps its last good objects.
package struct ManifestSource: Sendable {
    private let path: String
    /// The objects by the bytes of the file's path, which say more than its characters: two files
    /// may have names that differ in Unicode normalization only.
    private var good: [[UInt8]: [KubernetesObject]] = [:]

    package init(path: String) { self.path = path }

    /// Reads all files again.
    ///
    /// - Returns: all objects, and the errors of files whose old objects were kept
    package mutating func load() -> (objects: [KubernetesObject], errors: [ManifestError]) {
        var errors: [ManifestError] = []
        var files: [String] = []
        do throws(ManifestError) { files = try manifests() } catch {
            return (objects, [error])
        }
        let present = Set(files.map { Array($0.utf8) })
        for file in good.keys where !present.contains(file) { good[file] = nil }
        for file in files {
            do throws(ManifestError) {
                good[Array(file.utf8)] =
                    Self.isNullDevice(file)
                    ? [] : try ManifestReader(file: file).objects(in: Self.text(of: file))
            } catch {
                errors.append(error)
            }
        }
        return (objects, errors)
    }

    /// All objects, in the order of the files' names.
    private var objects: [KubernetesObject] {
        good.sorted { $0.key.lexicographicallyPrecedes($1.key) }.flatMap(\.value)
    }

    private func manifests() throws(ManifestError) -> [String] {
        var isDirectory = false
        do {
            let attributes = try FileManager.default.attributesOfItem(atPath: resolved)
            isDirectory = attributes[.type] as? FileAttributeType == .typeDirectory
            guard isDirectory else { return [path] }
            return try FileManager.default.contentsOfDirectory(atPath: path)
                .filter(Self.isManifest).sorted().map {
                    path.hasSuffix("/") ? path + $0 : "\(path)/\($0)"
                }
        } catch {
            throw ManifestError(
                file: path,
                line: nil,
                problem: FieldProblem("", Self.reason(error))
            )
        }
    }

    /// The path with symbolic links resolved; the directory itself may be one.
    private var resolved: String {
        guard let real = realpath(path, nil) else { return path }
        defer { free(real) }
        return String(cString: real)
    }

    private static func isManifest(_ name: String) -> Bool {
        !name.hasPrefix(".") && [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) }
    }

    /// The device number of `/dev/null`: major 1, minor 3
    /// (`Documentation/admin-guide/devices.txt`).
    private static let nullDevice: dev_t = 0x103

    /// Whether the file is `/dev/null`, which is empty on purpose.
    private static func isNullDevice(_ file: String) -> Bool {
        var status = stat()
        return stat(file, &status) == 0 && status.st_mode & S_IFMT == S_IFCHR
            && status.st_rdev == nullDevice
    }

    private static func text(of file: String) throws(ManifestError) -> String {
        var status = stat()
        if stat(file, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            let isDirectory = status.st_mode & S_IFMT == S_IFDIR
            let reason =
                isDirectory
                ? "is a directory, and directories in a directory are not read"
                : "is neither a file nor a directory"
            throw ManifestError(file: file, line: nil, problem: FieldProblem("", reason))
        }
        do {
            return String(decoding: try Data(contentsOf: URL(filePath: file)), as: UTF8.self)
        } catch {
            throw ManifestError(file: file, line: nil, problem: FieldProblem("", reason(error)))
        }
    }

    private static func reason(_ error: any Error) -> String {
        if let posix = (error as? CocoaError)?.underlying as? POSIXError {
            return "cannot be read: \(String(cString: strerror(posix.code.rawValue)))"
        }
        return "cannot be read: \(error)"
    }

    // MARK: Watching

    /// Yields after each change of the file or directory, until the stream is dropped.
    ///
    /// Several changes at once yield once. The directory is watched rather than the file, so that a
    /// file replaced by renaming is noticed; editors and the kubelet's ConfigMaps do this.
    package func changes() throws(ManifestError) -> AsyncStream<Void> {
        var status = stat()
        guard stat(path, &status) == 0 else { throw unwatchable(errno) }
        let isDirectory = status.st_mode & S_IFMT == S_IFDIR
        let parent = path.split(separator: "/").dropLast().joined(separator: "/")
        let folder =
            isDirectory ? path : (path.hasPrefix("/") ? "/" : "") + (parent.isEmpty ? "." : parent)
        let descriptor = needle_inotify_open()
        let result = descriptor < 0 ? descriptor : needle_inotify_watch(descriptor, folder)
        guard result >= 0 else {
            if descriptor >= 0 { close(descriptor) }
            throw unwatchable(-result)
        }
        let (changes, continuation) = AsyncStream<Void>.makeStream(
            bufferingPolicy: .bufferingNewest(1)
        )
        let source = DispatchSource.makeReadSource(
            fileDescriptor: descriptor,
            queue: DispatchQueue(label: "needletail.manifests")
        )
        source.setEventHandler {
            withUnsafeTemporaryAllocation(byteCount: 16 * 1024, alignment: 8) { buffer in
                // It does not matter what changed: everything is read again.
                while read(descriptor, buffer.baseAddress, buffer.count) > 0 {}
            }
            continuation.yield()
        }
        source.setCancelHandler { close(descriptor) }
        let handle = WatchHandle(source)
        continuation.onTermination = { _ in handle.cancel() }
        source.activate()
        return changes
    }

    private func unwatchable(_ code: Int32) -> ManifestError {
        let reason = "cannot be watched: \(String(cString: strerror(code)))"
        return ManifestError(file: path, line: nil, problem: FieldProblem("", reason))
    }
}

/// A handle with which the end of a stream cancels its event source.
// SAFETY: cancelling a dispatch source is thread-safe, and that is the only use made of it.
private final class WatchHandle: @unchecked Sendable {
    private let source: any DispatchSourceRead

    init(_ source: any DispatchSourceRead) { self.source = source }

    func cancel() { source.cancel() }
}
