package import NetworkTypes
internal import Synchronization

/// What a forwarder has, and has done.
package struct ForwarderStatistics: Sendable, Equatable {
    package enum Failure: String, Sendable, Hashable, CaseIterable {
        /// There were as many as there may be, of connections or of descriptors.
        case limit
        /// The endpoint could not be reached.
        case endpoint
    }

    /// Sockets that clients reach.
    package internal(set) var listeners: [IPFamily: Int] = [:]
    package internal(set) var listenFailures: [IPFamily: Int] = [:]
    /// Connections of TCP, and clients of UDP, that there are now.
    package internal(set) var open: [TransportProtocol: Int] = [:]
    package internal(set) var opened: [TransportProtocol: Int] = [:]
    package internal(set) var failures: [Failure: Int] = [:]
}

/// Shared by the forwarder's thread and those who ask.
final class StatisticsBox: Sendable {
    private let value = Mutex(ForwarderStatistics())

    var current: ForwarderStatistics { value.withLock(\.self) }

    func update(_ body: (inout ForwarderStatistics) -> Void) {
        value.withLock { statistics in
            var copy = statistics
            body(&copy)
            statistics = copy
        }
    }
}
