/// Tells one reader that there is something to do; rings that nobody has heard yet are one.
package struct Bell: Sendable {
    /// Yields after a ring.
    package let rings: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    package init() {
        (rings, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    package func ring() { continuation.yield() }
}
