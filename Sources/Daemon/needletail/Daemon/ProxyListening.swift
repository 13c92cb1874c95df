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
        while !Task.isCancelled, !Task.isShuttingDownGracefully {
            do throws(ListenError) {
                try server.listen(on: served.address) { served.routes.answer($0) }
                return
            } catch {
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
                try? await cancelWhenGracefulShutdown { try await Task.sleep(for: .seconds(5)) }
            }
        }
    }
}
