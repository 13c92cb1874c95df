internal import KubernetesClient
internal import Logging
internal import Observability
internal import ServiceLifecycle

/// An address to serve at, and the routes that are served there.
struct ServedAddress: Sendable {
    let address: ListenAddress
    let what: String
    /// The reason of the event that is recorded if the address cannot be opened.
    let failure: String
    let routes: Routes
}

/// Opens the addresses, and tries again while an address cannot be opened.
struct Listening: ServiceLifecycle.Service {
    let server: HTTPServer
    let addresses: [ServedAddress]
    let isFatal: Bool
    /// Whether another needletail programs this node, which may have the addresses, too.
    let isStandby: @Sendable () -> Bool
    let recorder: EventRecorder?
    let nodeName: String
    let logger: Logger

    func run() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            for served in addresses { group.addTask { try await open(served) } }
        }
        try? await gracefulShutdown()
    }

    private func open(_ served: ServedAddress) async throws {
        var isTold = false
        // An address may still belong to the process that this one takes over from.
        var triesWithoutNews = 0
        while !Task.isCancelled, !Task.isShuttingDownGracefully {
            do throws(ListenError) {
                try server.listen(on: served.address) { served.routes.answer($0) }
                return
            } catch {
                if isStandby() { triesWithoutNews = 20 }
                guard triesWithoutNews == 0 else {
                    triesWithoutNews -= 1
                    await pause(.milliseconds(250))
                    continue
                }
                let note = "\(served.what) is not served: \(error)"
                if isFatal { throw Failure("\(note); exiting, as bindAddressHardFail is set") }
                if !isTold {
                    logger.error("\(note); trying again every 5 seconds")
                    recorder?.record(
                        NodeEvent(.warning, served.failure, "StartKubeProxy", note),
                        node: nodeName
                    )
                    isTold = true
                }
                await pause(.seconds(5))
            }
        }
    }

    private func pause(_ duration: Duration) async {
        try? await cancelWhenGracefulShutdown { try await Task.sleep(for: duration) }
    }
}
