internal import FoundationEssentials
internal import KubernetesClient
internal import Logging
internal import ManifestSource
internal import ServiceLifecycle

/// Follows the kubeconfig and its certificate authority: takes a new one over, and keeps the old
/// one while the new one is bad.
struct KubeconfigWatch: ServiceLifecycle.Service {
    private let paths: String
    private let source: SourceOptions
    private let client: APIClient
    private let renewed: AsyncStream<Void>.Continuation
    private let logger: Logger
    private let tell: NodeNews
    /// Of each folder that has one of the files.
    private let changes: [AsyncStream<Void>]
    private let authority: String?
    private let initial: [Data?]

    /// - Parameters:
    ///   - paths: separated by colons
    ///   - renewed: is told when the client has other credentials
    init(
        _ paths: String,
        _ source: SourceOptions,
        _ client: APIClient,
        _ renewed: AsyncStream<Void>.Continuation,
        logger: Logger,
        tell: @escaping NodeNews
    ) throws {
        (self.paths, self.source, self.client, self.renewed) = (paths, source, client, renewed)
        (self.logger, self.tell) = (logger, tell)
        authority =
            if case .file(let path)? = client.credentials.certificateAuthority { path } else { nil }
        let files = Self.files(paths) + [authority].compactMap(\.self)
        initial = Self.contents(files)
        // A file that is not there now cannot be followed; one of several may be missing.
        changes = files.compactMap { try? ManifestSource(path: $0).changes() }
        // From here on a bad file of the authority harms nothing.
        if let read = try? client.credentials.withAuthorityRead() { client.use(read) }
    }

    private static func files(_ paths: String) -> [String] {
        paths.split(separator: ":").map(String.init)
    }

    private static func contents(_ files: [String]) -> [Data?] {
        files.map { try? Data(contentsOf: URL(filePath: $0)) }
    }

    func run() async throws {
        let (bells, bell) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        await withDiscardingTaskGroup { group in
            for stream in changes {
                group.addTask { for await _ in stream.cancelOnGracefulShutdown() { bell.yield() } }
            }
            group.addTask {
                var known = initial
                for await _ in bells.cancelOnGracefulShutdown() { read(&known) }
            }
        }
    }

    private func read(_ known: inout [Data?]) {
        let contents = Self.contents(Self.files(paths) + [authority].compactMap(\.self))
        guard contents != known else { return }
        known = contents
        do throws(ClientError) {
            client.use(try source.credentials(paths).withAuthorityRead())
        } catch {
            let note = "\(error); the credentials that were read before stay in force"
            logger.error("\(note)")
            return tell(NodeEvent(.warning, "InvalidKubeconfig", "Reload", note))
        }
        let note = "kubeconfig \(paths): taken over; server \(client.credentials.server)"
        logger.notice("\(note)")
        tell(NodeEvent(.normal, "KubeconfigReloaded", "Reload", note))
        renewed.yield()
    }
}
