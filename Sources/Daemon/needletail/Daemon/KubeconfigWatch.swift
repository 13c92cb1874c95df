internal import FoundationEssentials
internal import KubernetesClient
internal import Logging
internal import ManifestSource
internal import ServiceLifecycle
internal import Threads

/// Watches the files of the kubeconfig and of its certificate authority: uses new contents, and
/// keeps the old credentials while the new contents are bad.
struct KubeconfigWatch: ServiceLifecycle.Service {
    private let paths: String
    private let source: SourceOptions
    private let client: APIClient
    private let renewed: Bell
    private let logger: Logger
    private let tell: NodeNews
    /// The notifications about the folder of each file.
    private let changes: [AsyncStream<Void>]
    private let initial: Known

    /// The result of the last reading.
    private struct Known {
        /// The path of the certificate authority; nil if the kubeconfig contains the authority
        /// itself or has none.
        var authority: String?
        var contents: [Data?] = []
    }

    /// - Parameters:
    /// - paths: the paths of kubeconfig files, separated by colons
    /// - renewed: gets an element when the client has new credentials
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
        // Files without notifications are read once a minute: files that do not exist yet, and the
        // authority that a later kubeconfig names.
        changes = (Self.files(paths) + [authority].compactMap(\.self)).compactMap {
            try? ManifestSource(path: $0).changes()
        }
        // The client keeps the authority's certificates in memory, so a bad file does no harm
        // later.
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
