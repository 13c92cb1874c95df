package import NetworkTypes
internal import Synchronization

/// The present state and the counters of a forwarder.
package struct ForwarderStatistics: Sendable, Equatable {
    package enum Failure: String, Sendable, Hashable, CaseIterable {
        /// A limit on connections, clients or descriptors was reached.
        case limit
        /// The endpoint could not be reached.
        case endpoint
    }

    /// The numbers of sockets that accept clients.
    package internal(set) var listeners: [IPFamily: Int] = [:]
    package internal(set) var listenFailures: [IPFamily: Int] = [:]
    /// The numbers of open TCP connections and of current UDP clients.
    package internal(set) var open: [TransportProtocol: Int] = [:]
    package internal(set) var opened: [TransportProtocol: Int] = [:]
    package internal(set) var failures: [Failure: Int] = [:]
}

/// The statistics, shared by the forwarder's thread and its readers.
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
