internal import Synchronization

/// What goes wrong with an answer.
package struct Fault: Sendable, Codable, Hashable {
    package enum Kind: String, Sendable, Codable, CaseIterable {
        /// The connection is closed, without the end of the body.
        case drop
        /// The body ends in the middle of an object, as if that were its end.
        case truncate
        /// Bytes that mean nothing, in place of an object.
        case garbage
        /// Nothing more comes, and the connection stays.
        case stall
        /// The resource version is too old.
        case expire
        /// The watch ends as its time limit would end it, and its connection with it.
        case end
        /// A few bytes at a time.
        case slow
        /// Refused with a status.
        case refuse
    }

    package var kind: Kind
    /// Requests whose path begins so.
    package var path = "/"
    /// How many requests are still to be struck.
    package var count = 1
    /// How many events of a watch pass before; a list is struck in its middle.
    package var afterEvents = 0
    /// Of a refusal, with Retry-After in seconds.
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

/// The faults that wait for a request.
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
