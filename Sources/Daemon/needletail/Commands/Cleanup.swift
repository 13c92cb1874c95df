internal import ArgumentParser
internal import Backend
internal import KubeProxyLeftovers
internal import Logging
internal import NetworkTypes

struct Cleanup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Remove everything that needletail has programmed, in both modes.",
        discussion: """
            Services stop working on this node. Objects of other programs stay. Stop the daemon \
            first, or it puts everything back.
            """
    )

    @Flag(help: "Only say what would be removed.")
    var dryRun = false

    @Flag(help: "Also remove what kube-proxy has left, in all of its modes.")
    var kubeProxy = false

    func run() async throws { try await Self.perform(kubeProxy: kubeProxy, dryRun: dryRun) }

    static func perform(kubeProxy: Bool, dryRun: Bool) async throws {
        do throws(CommitError) {
            for object in try await remove(kubeProxy: kubeProxy, dryRun: dryRun).map(
                \.object.printable
            ) {
                print(dryRun ? "would remove \(object)" : "removed \(object)")
            }
        } catch {
            throw Failure("\(error)")
        }
    }

    /// Returns what there was.
    static func remove(kubeProxy: Bool, dryRun: Bool) async throws(CommitError) -> [Difference] {
        var removed = try await Mode.openForCleaning(kubeProxy: kubeProxy, DaemonLog.ofCommand)
            .clean(kubeProxy: kubeProxy, dryRun: dryRun)
        if kubeProxy { removed += try await KubeProxyLeftovers.remove(dryRun: dryRun) }
        return removed
    }
}
