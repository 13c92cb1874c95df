internal import KubernetesClient
internal import Logging
internal import Observability
internal import ServiceLifecycle

/// What is served at an address.
struct ServedAddress: Sendable {
    let address: ListenAddress
    let what: String
    /// The event that tells of its failure.
    let failure: String
    let routes: Routes
}

/// Opens the servers' addresses, and tries again what cannot be opened.
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
                if isFatal { throw Failure("\(note); ends, as bindAddressHardFail says") }
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
