internal import FoundationEssentials
internal import KubernetesClient
internal import Logging
internal import ManifestSource
internal import ServiceLifecycle
internal import Threads

/// Follows the kubeconfig and its certificate authority: takes a new one over, and keeps the old
/// one while the new one is bad.
struct KubeconfigWatch: ServiceLifecycle.Service {
    private let paths: String
    private let source: SourceOptions
    private let client: APIClient
    private let renewed: Bell
    private let logger: Logger
    private let tell: NodeNews
    /// Of each folder that has one of the files.
    private let changes: [AsyncStream<Void>]
    private let initial: Known

    /// What was read last.
    private struct Known {
        /// The file of the certificate authority, if it is one.
        var authority: String?
        var contents: [Data?] = []
    }

    /// - Parameters:
    ///   - paths: separated by colons; empty: there is nothing to follow
    ///   - renewed: rings when the client has other credentials
    init?(
        _ paths: String,
        _ source: SourceOptions,
        _ client: APIClient,
        _ renewed: Bell,
        logger: Logger,
        tell: @escaping NodeNews
    ) throws {
        guard !paths.isEmpty else { return nil }
        (self.paths, self.source, self.client, self.renewed) = (paths, source, client, renewed)
        (self.logger, self.tell) = (logger, tell)
        let authority = Self.authority(client.credentials)
        initial = Known(authority: authority, contents: Self.contents(paths, authority))
        // What is not followed so is looked at once a minute: a file that is not there now, and the
        // authority of a kubeconfig to come.
        changes = (Self.files(paths) + [authority].compactMap(\.self)).compactMap {
            try? ManifestSource(path: $0).changes()
        }
        // From here on a bad file of the authority harms nothing.
        if let read = try? client.credentials.withAuthorityRead() { client.use(read) }
    }

    private static func files(_ paths: String) -> [String] {
        paths.split(separator: ":").map(String.init)
    }

    private static func authority(_ credentials: Credentials) -> String? {
        if case .file(let path)? = credentials.certificateAuthority { path } else { nil }
    }

    private static func contents(_ paths: String, _ authority: String?) -> [Data?] {
        (files(paths) + [authority].compactMap(\.self)).map {
            try? Data(contentsOf: URL(filePath: $0))
        }
    }

    func run() async throws {
        let bell = Bell()
        await withDiscardingTaskGroup { group in
            for stream in changes {
                group.addTask { for await _ in stream.cancelOnGracefulShutdown() { bell.ring() } }
            }
            group.addTask {
                await cancelWhenGracefulShutdown {
                    while (try? await Task.sleep(for: .seconds(60))) != nil { bell.ring() }
                }
            }
            group.addTask {
                var known = initial
                for await _ in bell.rings.cancelOnGracefulShutdown() { read(&known) }
            }
        }
    }

    private func read(_ known: inout Known) {
        let contents = Self.contents(paths, known.authority)
        guard contents != known.contents else { return }
        known.contents = contents
        do throws(ClientError) {
            let fresh = try source.credentials(paths)
            known.authority = Self.authority(fresh)
            known.contents = Self.contents(paths, known.authority)
            client.use(try fresh.withAuthorityRead())
        } catch {
            let note = "\(error); the credentials that were read before stay in force"
            logger.error("\(note)")
            return tell(NodeEvent(.warning, "InvalidKubeconfig", "Reload", note))
        }
        let note = "kubeconfig \(paths): taken over; server \(client.credentials.server)"
        logger.notice("\(note)")
        tell(NodeEvent(.normal, "KubeconfigReloaded", "Reload", note))
        renewed.ring()
    }
}
