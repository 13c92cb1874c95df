internal import FoundationEssentials
internal import Subprocess
internal import SystemPackage
internal import Threads

/// A program, named by a kubeconfig, that prints credentials (client.authentication.k8s.io).
package struct ExecPlugin: Sendable, Hashable {
    package var apiVersion: String
    package var command: String
    package var arguments: [String]
    package var environment: [String: String]
    /// The text to print if the program is not installed.
    package var installHint: String?
    /// The cluster as JSON, for a plugin that asks for it (`provideClusterInfo`).
    package var cluster: String?

    static let apiVersions = [
        "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1",
    ]
}

/// The credentials that a plugin printed; secret.
struct ExecCredential: Sendable, CustomStringConvertible, CustomReflectable {
    var token: String?
    var clientCertificate: [UInt8]?
    var clientKey: [UInt8]?
    /// The expiry in seconds since 1970; nil if the credentials are valid as long as this process
    /// lives.
    var expiration: Double?

    var description: String { "ExecCredential" }
    var customMirror: Mirror { Mirror(self, children: []) }
}

/// Runs a plugin, and caches its answer until the answer expires or the server refuses it.
actor ExecCredentialCache {
    private let plugin: ExecPlugin
    private let timeLimit: Duration
    private var cached: ExecCredential?
    private var running: Task<ExecCredential, any Error>?

    /// Makes a cache for the plugin.
    ///
    /// - Parameter timeLimit: for one run of the plugin, so that one that hangs does not block the
    ///   proxy
    init(_ plugin: ExecPlugin, timeLimit: Duration = .seconds(60)) {
        self.plugin = plugin
        self.timeLimit = timeLimit
    }

    func current() async throws(ClientError) -> ExecCredential {
        // Credentials are renewed 10 seconds early, so that they do not expire during the request.
        let now = Date().timeIntervalSince1970 + 10
        if let cached, cached.expiration.map({ $0 > now }) ?? true { return cached }
        let task = running ?? Task { [plugin, timeLimit] in try await plugin.run(timeLimit) }
        running = task
        defer { running = nil }
        do {
            let credential = try await task.value
            cached = credential
            return credential
        } catch let error as ClientError {
            throw error
        } catch {
            throw .configuration("exec plugin \(plugin.command): \(error)")
        }
    }

    /// Drops the cached answer, after the server answered 401.
    func forget() { cached = nil }
}

extension ExecPlugin {
    private static let outputLimit = 1 << 20

    fileprivate func run(_ timeLimit: Duration) async throws -> ExecCredential {
        var variables = environment
        variables["KUBERNETES_EXEC_INFO"] = execInfo
        let overrides = variables.reduce(into: [Environment.Key: String?]()) { result, entry in
            if let key = Environment.Key(rawValue: entry.key) { result[key] = entry.value }
        }
        let configuration = Configuration(
            executable: command.contains("/") ? .path(.init(command)) : .name(command),
            arguments: Arguments(arguments),
            environment: .inherit.updating(overrides)
        )
        let result: ExecutionResult<Void, BytesOutput, StringOutput<UTF8>>
        do {
            result = try await withTimeLimit(timeLimit) {
                try await Subprocess.run(
                    configuration,
                    output: .bytes(limit: Self.outputLimit),
                    error: .string(limit: Self.outputLimit)
                )
            }
        } catch is CancellationError {
            throw problem("did not answer within \(timeLimit)")
        } catch {
            throw problem("cannot be run: \(error)\(installHint.map { "\n\($0)" } ?? "")")
        }
        guard result.terminationStatus.isSuccess else {
            let text = result.standardError.trimmed.suffix(500)
            throw problem("failed (\(result.terminationStatus)): \(text)")
        }
        return try credential(result.standardOutput)
    }

    private var execInfo: String {
        let spec = cluster.map { #"{"interactive":false,"cluster":\#($0)}"# }
        return
            #"{"kind":"ExecCredential","apiVersion":"\#(apiVersion)","spec":\#(spec ?? #"{"interactive":false}"#)}"#
    }

    func problem(_ text: String) -> ClientError {
        .configuration("exec plugin \(command) \(text)")
    }
}

extension String {
    fileprivate var trimmed: Substring {
        let start = drop(while: \.isWhitespace)
        return start[
            ..<(start.lastIndex { !$0.isWhitespace }.map(start.index(after:)) ?? start.startIndex)
        ]
    }
}
