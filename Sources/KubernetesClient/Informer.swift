package import Logging

/// Keeps a listener in step with all objects of one kind: a list, then a watch from there.
package struct Informer<Object: Resource>: Sendable {
    package enum Event: Sendable {
        /// The whole list; objects that are not in it are gone.
        case replaced([Object])
        case set(Object)
        case removed(Object)
    }

    private let client: APIClient
    private let nodeName: String
    private let isOptional: Bool
    private let logger: Logger

    /// - Parameter isOptional: an API server without this kind has none of them
    package init(
        _ client: APIClient,
        nodeName: String,
        isOptional: Bool = false,
        logger: Logger
    ) {
        self.client = client
        self.nodeName = nodeName
        self.isOptional = isOptional
        self.logger = logger
    }

    /// Reports to the listener until the task is cancelled.
    ///
    /// What was reported stays true while
    /// the API server is away.
    package func run(_ listener: @Sendable (Event) async -> Void) async {
        var policy = WatchPolicy()
        while !Task.isCancelled {
            do throws(ClientError) {
                switch policy.next {
                case .list: policy.onList(version: try await list(listener))
                case .watch(let version):
                    let start = ContinuousClock.now
                    var hadEvents = false
                    try await client.watch(Object.self, nodeName: nodeName, from: version) {
                        event in
                        hadEvents = true
                        policy.onEvent(version: event.resourceVersion)
                        await report(event, listener)
                    }
                    let pause = policy.onEnd(
                        after: ContinuousClock.now - start,
                        hadEvents: hadEvents,
                        jitter: Double.random(in: 0...1)
                    )
                    if pause > .zero { try? await Task.sleep(for: pause) }
                }
            } catch {
                if isOptional, error.isNotFound {
                    await listener(.replaced([]))
                    try? await Task.sleep(for: .seconds(600))
                    continue
                }
                let delay = policy.onFailure(error, jitter: Double.random(in: 0...1))
                guard !Task.isCancelled, delay > .zero else { continue }
                logger.warning(
                    "the API server cannot be followed; what was programmed stays",
                    metadata: ["error": "\(error)", "retry": "\(delay)"]
                )
                try? await Task.sleep(for: delay)
            }
        }
    }

    private func list(_ listener: (Event) async -> Void) async throws(ClientError) -> String {
        let (objects, unreadable, version) = try await client.list(Object.self, nodeName: nodeName)
        for message in unreadable {
            logger.warning("\(Object.path): skipped an object that cannot be read: \(message)")
        }
        await listener(.replaced(objects))
        return version
    }

    private func report(_ event: WatchEvent<Object>, _ listener: (Event) async -> Void) async {
        switch event.payload {
        case .set(let object): await listener(.set(object))
        case .removed(let object): await listener(.removed(object))
        case .unreadable(let error):
            logger.warning("\(Object.path): skipped an object that cannot be read: \(error)")
        case .bookmark, .error: break
        }
    }
}
