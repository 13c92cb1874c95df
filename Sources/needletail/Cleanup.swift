internal import ArgumentParser
internal import IPVSKernel
internal import Logging
internal import NFTablesKernel
internal import NetworkTypes
internal import ServicePlan

struct Cleanup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Remove everything that needletail has programmed, of both modes.",
        discussion: """
            Services stop working on this node. Nothing of other programs is touched. Stop the \
            daemon first, or it puts everything back.
            """
    )

    @Flag(help: "Only say what would be removed.")
    var dryRun = false

    @Flag(help: "Remove what kube-proxy has left, too, of all its modes.")
    var kubeProxy = false

    func run() async throws { try await Self.perform(kubeProxy: kubeProxy, dryRun: dryRun) }

    static func perform(kubeProxy: Bool, dryRun: Bool) async throws {
        let logger = DaemonLog.ofCommand
        do throws(CommitError) {
            let nftables = try openNFTables(logger)
            var removed: [String] = []
            if IPVSDataplane.hasLeftovers(takesOver: kubeProxy) {
                let ipvs = try IPVSDataplane(
                    policy: nftables,
                    IPVSSettings(),
                    isRetiring: true,
                    logger: logger
                )
                removed = try await ipvs.removeEverything(dryRun: dryRun, kubeProxy: kubeProxy)
            }
            removed += try await nftables.removeEverything(dryRun: dryRun)
            if kubeProxy {
                removed += try await KubeProxyLeftovers.remove(nftables, dryRun: dryRun)
            }
            for line in removed.map(\.printable) {
                print(dryRun ? "would remove \(line)" : "removed \(line)")
            }
        } catch {
            throw Failure("\(error)")
        }
    }
}
