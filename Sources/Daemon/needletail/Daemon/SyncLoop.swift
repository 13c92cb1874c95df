internal import Backend
internal import Logging
internal import Netlink
internal import Reconciler
internal import ServiceLifecycle
internal import Threads

/// Runs the reconciler when it is this process's turn, and tells it about changes on the node.
struct SyncLoop: Service {
    let reconciler: Reconciler
    let backend: any Backend
    let turn: Turn
    /// Gets an element when other programs may have changed which packets are forwarded.
    let forwarding: Bell
    let logger: Logger

    func run() async throws {
        let lock = await cancelWhenGracefulShutdown { await turn.wait() }
        guard !Task.isShuttingDownGracefully else { return }
        defer { withExtendedLifetime(lock) {} }
        let nodeAddresses = try NetlinkSubscription(.route, groups: InterfaceAddresses.groups)
            .changes { InterfaceAddresses.isChange($0, except: Mode.device) ? () : nil }
        // They may have changed since the start.
        await readAddresses()
        await withDiscardingTaskGroup { group in
            group.addTask { await reconciler.run() }
            group.addTask { await reconciler.maintain() }
            group.addTask { await watchKernel() }
            group.addTask {
                for await _ in nodeAddresses { await readAddresses() }
            }
            try? await gracefulShutdown()
            group.cancelAll()
        }
    }

    private func readAddresses() async {
        if let addresses = try? InterfaceAddresses.read(except: Mode.device) {
            await reconciler.onInterfaceAddresses(addresses)
        }
    }

    private func watchKernel() async {
        do throws(CommitError) {
            try await backend.watch { event in
                switch event {
                case .foreignChange(let object): await reconciler.onForeignChange(object)
                case .forwarding: forwarding.ring()
                }
            }
        } catch {
            logger.error(
                "changes by other programs are not noticed; restart needletail",
                metadata: ["error": "\(error)"]
            )
        }
    }
}
