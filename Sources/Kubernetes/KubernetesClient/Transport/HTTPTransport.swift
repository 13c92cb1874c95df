internal import CCurl
internal import CNeedleShim
internal import Synchronization
internal import Threads

/// HTTP over libcurl; one thread drives all transfers.
package final class HTTPTransport: Sendable {
    private let driver = TransferDriver()
    private let links: ServerLinks
    private let traffic: APITraffic

    init(_ links: ServerLinks, _ traffic: APITraffic) {
        (self.links, self.traffic) = (links, traffic)
        curl_global_init(Int(CURL_GLOBAL_DEFAULT))
        let driver = driver
        // curl_multi_poll blocks, so it gets its own thread.
        startThread { driver.run() }
    }

    deinit { driver.submit(.stop) }

    /// Starts a request; dropping the response cancels it.
    func send(
        _ request: HTTPRequest,
        to credentials: Credentials,
        as identity: Identity
    ) throws(ClientError) -> HTTPResponse {
        let (stream, continuation) = AsyncThrowingStream<HTTPEvent, any Error>.makeStream()
        let transfer = try Transfer(request, credentials, identity, links, traffic, continuation)
        continuation.onTermination = { [driver] _ in driver.submit(.remove(transfer)) }
        request.limit?.onPass { continuation.finish(throwing: CancellationError()) }
        driver.submit(.add(transfer))
        return HTTPResponse(stream: stream, transfer: transfer, driver: driver)
    }
}

struct HTTPRequest: Sendable {
    var method = "GET"
    /// The kind of object whose traffic this is.
    var kind: String
    /// The path with the query.
    var path: String
    /// The Accept header; empty lets the client choose.
    var accept = ""
    var body: [UInt8]?
    /// The content type of the body.
    var contentType = ""
    /// The time without any data after which the connection is treated as dead.
    var idleLimit: Duration
    /// The limit that ends the response, unless it is lifted.
    var limit: StreamLimit?
}

enum HTTPEvent: Sendable {
    case head(HTTPHead)
    case body([UInt8])
}

/// The peer of a connection as the kernel sees it: the server, or a proxy in front of it.
package struct ConnectionPeer: Sendable, Hashable {
    /// The IP address in dotted or colon notation.
    package let address: String
    package let port: UInt16
}

struct HTTPHead: Sendable {
    let status: Int
    let contentType: String
    /// The value of the Retry-After header; zero without one.
    let retryAfter: Duration
    let peer: ConnectionPeer?
}

/// The head of the answer, then its body as it arrives.
///
/// A slow reader slows the sender down, so only a small part of the body is held in memory.
struct HTTPResponse: AsyncSequence, Sendable {
    fileprivate let stream: AsyncThrowingStream<HTTPEvent, any Error>
    fileprivate let transfer: Transfer
    fileprivate let driver: TransferDriver

    struct Iterator: AsyncIteratorProtocol {
        fileprivate var base: AsyncThrowingStream<HTTPEvent, any Error>.Iterator
        fileprivate let transfer: Transfer
        fileprivate let driver: TransferDriver

        mutating func next() async throws -> HTTPEvent? {
            let event = try await base.next()
            if case .body(let bytes) = event, transfer.consume(bytes.count) {
                driver.submit(.resume(transfer))
            }
            return event
        }
    }

    func makeAsyncIterator() -> Iterator {
        Iterator(base: stream.makeAsyncIterator(), transfer: transfer, driver: driver)
    }
}

/// The state that the driving thread and its clients share.
private final class TransferDriver: Sendable {
    enum Command: Sendable {
        case add(Transfer)
        case resume(Transfer)
        case remove(Transfer)
        case stop
    }

    private let commands = Mutex<[Command]>([])
    private let multi = MultiHandle()

    func submit(_ command: Command) {
        commands.withLock { $0.append(command) }
        // This is the only function of the multi handle that another thread may call.
        curl_multi_wakeup(multi.handle)
    }

    func run() {
        var active: [OpaquePointer: Transfer] = [:]
        while true {
            let pending = commands.withLock { list in
                defer { list = [] }
                return list
            }
            for command in pending {
                switch command {
                case .add(let transfer):
                    active[transfer.key] = transfer
                    curl_multi_add_handle(multi.handle, transfer.easy)
                case .resume(let transfer):
                    guard active[transfer.key] != nil else { continue }
                    curl_easy_pause(transfer.easy, CURLPAUSE_CONT)
                case .remove(let transfer):
                    guard active.removeValue(forKey: transfer.key) != nil else { continue }
                    curl_multi_remove_handle(multi.handle, transfer.easy)
                case .stop: return
                }
            }
            var running: Int32 = 0
            curl_multi_perform(multi.handle, &running)
            for transfer in active.values { transfer.meter() }
            var left: Int32 = 0
            while let message = curl_multi_info_read(multi.handle, &left) {
                guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle
                else { continue }
                let result = message.pointee.data.result
                // A connection on which one answer has stalled may be dead for all the others.
                if result == CURLE_OPERATION_TIMEDOUT { needle_curl_break_connection(easy) }
                curl_multi_remove_handle(multi.handle, easy)
                active.removeValue(forKey: OpaquePointer(easy))?.finish(result)
            }
            curl_multi_poll(multi.handle, nil, 0, 60_000, nil)
        }
    }
}

/// Owns the multi handle.
// SAFETY: only the driving thread uses the handle, except for curl_multi_wakeup, which is
// thread-safe.
private final class MultiHandle: @unchecked Sendable {
    let handle = curl_multi_init()

    deinit { curl_multi_cleanup(handle) }
}
