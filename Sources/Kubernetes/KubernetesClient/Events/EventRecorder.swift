internal import FoundationEssentials
package import Logging
internal import Synchronization

/// Sends notices as events of the cluster, without ever blocking a caller.
package final class EventRecorder: Sendable {
    private struct State {
        var aggregator: EventAggregator
        var queue: [EventAggregator.Write] = []
    }

    /// The number of attempts for one write, as in client-go.
    private static let attempts = 12
    private static let queueLimit = 1000

    private let client: APIClient
    private let logger: Logger
    private let firstPause: Duration
    private let state: Mutex<State>
    private let started = ContinuousClock.now
    private let wakeUps: AsyncStream<Void>
    private let wakeUp: AsyncStream<Void>.Continuation

    /// Makes a recorder.
    ///
    /// - Parameter firstPause: the pause after a first failure; it doubles with each further one
    package init(
        _ client: APIClient,
        _ reporter: EventReporter,
        firstPause: Duration = .seconds(1),
        logger: Logger
    ) {
        self.client = client
        self.logger = logger
        self.firstPause = firstPause
        state = Mutex(State(aggregator: EventAggregator(reporter)))
        (wakeUps, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Records a notice; any thread may call this at any time.
    package func record(_ notice: EventNotice) {
        let now = now
        state.withLock { state in
            guard
                let write = state.aggregator.add(
                    notice,
                    now: now,
                    time: Date().timeIntervalSince1970
                )
            else { return }
            Self.enqueue(write, &state.queue)
        }
        wakeUp.yield()
    }

    /// Sends recorded events until the task is cancelled.
    package func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask {
                while (try? await Task.sleep(for: .seconds(60))) != nil {
                    self.state.withLock { state in
                        for write in state.aggregator.tick(now: self.now) {
                            Self.enqueue(write, &state.queue)
                        }
                    }
                    self.wakeUp.yield()
                }
            }
            for await _ in wakeUps {
                while !Task.isCancelled, let write = next() { await send(write) }
            }
            group.cancelAll()
        }
    }

    private func next() -> EventAggregator.Write? {
        state.withLock { $0.queue.isEmpty ? nil : $0.queue.removeFirst() }
    }

    private static func enqueue(
        _ write: EventAggregator.Write,
        _ queue: inout [EventAggregator.Write]
    ) {
        if queue.count < queueLimit { queue.append(write) }
    }

    /// The time in seconds since this recorder was made.
    private var now: Double { (ContinuousClock.now - started) / .seconds(1) }

    // MARK: Sending

    private func send(_ write: EventAggregator.Write) async {
        var write = write
        var pause = firstPause
        for attempt in 1...Self.attempts {
            do throws(ClientError) {
                return try await put(write)
            } catch {
                if case .update(let object) = write, error.isNotFound {
                    // Events expire, usually after an hour; the series goes on in a new object.
                    write = .create(object)
                    continue
                }
                if case .create = write, error.status?.code == 409 { return }
                guard !Task.isCancelled, error.mayPass, attempt < Self.attempts else {
                    logger.warning(
                        "an event cannot be told: \(write.object.reason)",
                        metadata: ["error": "\(error)"]
                    )
                    return
                }
                try? await Task.sleep(for: max(pause, error.status?.retryAfter ?? .zero))
                pause = min(pause * 2, .seconds(30))
            }
        }
    }

    private func put(_ write: EventAggregator.Write) async throws(ClientError) {
        switch write {
        case .create(let object):
            try await client.send("POST", object.collection, Self.json(object), kind: "Event")
        case .update(let object):
            try await client.send(
                "PATCH",
                "\(object.collection)/\(object.metadata.name)",
                Self.json(["series": object.series]),
                contentType: "application/merge-patch+json",
                kind: "Event"
            )
        }
    }

    private static func json(_ value: some Encodable) throws(ClientError) -> [UInt8] {
        do {
            return Array(try JSONEncoder().encode(value))
        } catch {
            throw .configuration("an event cannot be written: \(error)")
        }
    }
}

extension ClientError {
    /// Whether the same write may succeed later; a missing permission (403) is unlikely to pass.
    fileprivate var mayPass: Bool { kind == .unavailable && status?.code != 403 }
}
