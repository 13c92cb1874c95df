package import Backend
package import Dispatch

/// Passes events from the queue of a backend to the task that watches it.
package final class NewsFeed: Sendable {
    private let events: AsyncStream<BackendEvent>
    private let bell: AsyncStream<BackendEvent>.Continuation

    /// The number of events that may wait; a backend has so few kinds that none is lost.
    private static let limit = 16

    package init() {
        (events, bell) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(Self.limit))
    }

    package func tell(_ found: [BackendEvent]) {
        for event in found { bell.yield(event) }
    }

    /// Calls `tell` with each event until the task is cancelled.
    ///
    /// - Parameters:
    /// - descriptor: a descriptor that is readable when there may be events
    /// - queue: the queue on which `read` is called
    /// - read: returns new events; called whenever the descriptor is readable
    package func follow(
        _ descriptor: Int32,
        on queue: DispatchQueue,
        _ tell: @escaping @Sendable (BackendEvent) async -> Void,
        read: @escaping @Sendable () -> [BackendEvent]
    ) async {
        let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        source.setEventHandler { self.tell(read()) }
        source.activate()
        for await event in events { await tell(event) }
        source.cancel()
    }
}
