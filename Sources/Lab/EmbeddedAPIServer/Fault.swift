internal import Synchronization

/// A fault that the server adds to an answer.
package struct Fault: Sendable, Codable, Hashable {
    package enum Kind: String, Sendable, Codable, CaseIterable {
        /// The connection is closed before the body ends.
        case drop
        /// The body ends in the middle of an object, but otherwise properly.
        case truncate
        /// Bytes without meaning replace an object.
        case garbage
        /// Nothing more is sent, but the connection stays open.
        case stall
        /// The request is answered as if its resource version were too old.
        case expire
        /// The watch and its connection end as they would at their time limit.
        case end
        /// The body is sent a few bytes at a time.
        case slow
        /// The request is refused with a status.
        case refuse
    }

    package var kind: Kind
    /// The beginning of the paths that are affected.
    package var path = "/"
    /// The number of requests that will still be affected.
    package var count = 1
    /// The number of events of a watch that are sent before the fault; a list fails in its middle.
    package var afterEvents = 0
    /// The HTTP status of a refusal.
    package var code = 503
    package var retryAfter = 0

    package init(
        _ kind: Kind,
        path: String = "/",
        count: Int = 1,
        afterEvents: Int = 0,
        code: Int = 503,
        retryAfter: Int = 0
    ) {
        (self.kind, self.path, self.count) = (kind, path, count)
        (self.afterEvents, self.code, self.retryAfter) = (afterEvents, code, retryAfter)
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        func value<T: Decodable>(_ key: CodingKeys, _ fallback: T) throws -> T {
            try container.decodeIfPresent(T.self, forKey: key) ?? fallback
        }
        kind = try container.decode(Kind.self, forKey: .kind)
        path = try value(.path, "/")
        count = try value(.count, 1)
        afterEvents = try value(.afterEvents, 0)
        code = try value(.code, 503)
        retryAfter = try value(.retryAfter, 0)
    }
}

/// The faults that wait for a matching request.
final class FaultQueue: Sendable {
    private let faults = Mutex<[Fault]>([])

    func add(_ fault: Fault) { faults.withLock { $0.append(fault) } }

    func clear() { faults.withLock { $0 = [] } }

    func take(path: String) -> Fault? {
        faults.withLock { faults in
            guard let index = faults.firstIndex(where: { path.hasPrefix($0.path) }) else {
                return nil
            }
            faults[index].count -= 1
            let fault = faults[index]
            if fault.count <= 0 { faults.remove(at: index) }
            return fault
        }
    }
}
