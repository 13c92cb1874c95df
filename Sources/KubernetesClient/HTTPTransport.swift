internal import CCurl
internal import CNeedleShim
internal import Dispatch
internal import Glibc
internal import Synchronization

/// HTTP over libcurl: one thread drives all transfers.
package final class HTTPTransport: Sendable {
    private let shared = SharedTransfers()

    package init() {
        curl_global_init(Int(CURL_GLOBAL_DEFAULT))
        let shared = shared
        // A thread of its own: curl_multi_poll blocks.
        DispatchQueue(label: "needletail.http").async { shared.drive() }
    }

    deinit { shared.stop() }

    /// Starts a GET.
    ///
    /// The head comes first, then the body as it arrives.
    ///
    /// Dropping the stream ends the transfer.
    package func get(
        _ path: String,
        _ credentials: Credentials,
        accept: String,
        idleLimit: Duration
    ) throws(ClientError) -> AsyncThrowingStream<HTTPEvent, any Error> {
        let (events, continuation) = AsyncThrowingStream<HTTPEvent, any Error>.makeStream()
        let transfer = try Transfer(
            path,
            credentials,
            accept: accept,
            idleLimit: idleLimit,
            continuation
        )
        continuation.onTermination = { [shared] _ in shared.submit(.remove(transfer)) }
        shared.submit(.add(transfer))
        return events
    }
}

package enum HTTPEvent: Sendable {
    case head(status: Int, retryAfter: Duration)
    case body([UInt8])
}

/// What the driving thread and its clients have in common.
private final class SharedTransfers: Sendable {
    enum Command: Sendable {
        case add(Transfer)
        case remove(Transfer)
        case stop
    }

    private let commands = Mutex<[Command]>([])
    private let multi = MultiHandle()

    func submit(_ command: Command) {
        commands.withLock { $0.append(command) }
        // The one call that another thread may make.
        curl_multi_wakeup(multi.handle)
    }

    func stop() { submit(.stop) }

    func drive() {
        var active: [OpaquePointer: Transfer] = [:]
        while true {
            for command in commands.withLock({ list in
                defer { list = [] }; return list
            }) {
                switch command {
                case .add(let transfer):
                    active[transfer.key] = transfer
                    curl_multi_add_handle(multi.handle, transfer.easy)
                case .remove(let transfer):
                    guard active.removeValue(forKey: transfer.key) != nil else { continue }
                    curl_multi_remove_handle(multi.handle, transfer.easy)
                case .stop: return
                }
            }
            var running: Int32 = 0
            curl_multi_perform(multi.handle, &running)
            var left: Int32 = 0
            while let message = curl_multi_info_read(multi.handle, &left) {
                guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle
                else { continue }
                let result = message.pointee.data.result
                curl_multi_remove_handle(multi.handle, easy)
                active.removeValue(forKey: OpaquePointer(easy))?.finish(result)
            }
            curl_multi_poll(multi.handle, nil, 0, 60_000, nil)
        }
    }
}

/// Owns the multi handle.
// SAFETY: used by the driving thread only, but for curl_multi_wakeup, which is thread-safe.
private final class MultiHandle: @unchecked Sendable {
    let handle = curl_multi_init()

    deinit { curl_multi_cleanup(handle) }
}

/// Owns an easy handle and the place where curl's callbacks leave the answer.
// SAFETY: set up before it is submitted; from then on the driving thread alone touches it. curl's
// callbacks hold it unretained: `active` keeps it for as long as the handle is added.
private final class Transfer: @unchecked Sendable {
    let easy: UnsafeMutableRawPointer
    private var headers: UnsafeMutablePointer<curl_slist>?
    private var destination: UnsafeMutablePointer<curl_slist>?
    private let continuation: AsyncThrowingStream<HTTPEvent, any Error>.Continuation
    private let url: String
    private var hasHead = false
    private let errorText = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))

    var key: OpaquePointer { OpaquePointer(easy) }

    init(
        _ path: String,
        _ credentials: Credentials,
        accept: String,
        idleLimit: Duration,
        _ continuation: AsyncThrowingStream<HTTPEvent, any Error>.Continuation
    ) throws(ClientError) {
        guard let easy = curl_easy_init() else {
            throw .transport(url: path, reason: "libcurl cannot be initialized")
        }
        self.easy = easy
        self.continuation = continuation
        url = credentials.server + path
        errorText.pointee = 0
        needle_curl_set_pointer(easy, CURLOPT_ERRORBUFFER, errorText)
        needle_curl_set_string(easy, CURLOPT_URL, url)
        if let name = credentials.serverName, !name.isEmpty { verify(as: name) }
        needle_curl_set_string(easy, CURLOPT_USERAGENT, "needletail")
        needle_curl_set_long(easy, CURLOPT_NOSIGNAL, 1)
        needle_curl_set_long(easy, CURLOPT_CONNECTTIMEOUT, 30)
        needle_curl_set_long(easy, CURLOPT_TCP_KEEPALIVE, 1)
        needle_curl_set_long(easy, CURLOPT_TCP_KEEPIDLE, 30)
        needle_curl_set_long(easy, CURLOPT_TCP_KEEPINTVL, 10)
        // A connection over which nothing comes is dead: a watch has a bookmark every minute.
        needle_curl_set_long(easy, CURLOPT_LOW_SPEED_LIMIT, 1)
        needle_curl_set_long(easy, CURLOPT_LOW_SPEED_TIME, Int(idleLimit.components.seconds))
        add(header: "Accept: \(accept)")
        try authenticate(credentials)
        needle_curl_set_pointer(easy, CURLOPT_HTTPHEADER, headers)
        needle_curl_set_write(easy, receiveBody, Unmanaged.passUnretained(self).toOpaque())
    }

    deinit {
        curl_easy_cleanup(easy)
        curl_slist_free_all(headers)
        curl_slist_free_all(destination)
        errorText.deallocate()
    }

    private func add(header: String) { headers = curl_slist_append(headers, header) }

    /// Expects the certificate of another name than the URL's host (`tls-server-name`).
    ///
    /// The URL names the certificate's host then; where to connect, and the Host header, stay.
    private func verify(as name: String) {
        guard url.hasPrefix("https://") else { return }
        let rest = url.dropFirst("https://".count)
        let authority = rest.prefix { $0 != "/" }
        let path = rest.dropFirst(authority.count)
        let colon = authority.lastIndex(of: ":").flatMap { index in
            // A colon inside of brackets belongs to an IPv6 address.
            authority[index...].contains("]") ? nil : index
        }
        let port = colon.map { String(authority[authority.index(after: $0)...]) } ?? "443"
        let host = colon.map { authority[..<$0] } ?? authority
        needle_curl_set_string(easy, CURLOPT_URL, "https://\(name):\(port)\(path)")
        destination = curl_slist_append(nil, "\(name):\(port):\(host):\(port)")
        needle_curl_set_pointer(easy, CURLOPT_CONNECT_TO, destination)
        add(header: "Host: \(authority)")
    }

    private func authenticate(_ credentials: Credentials) throws(ClientError) {
        set(credentials.certificateAuthority, CURLOPT_CAINFO, CURLOPT_CAINFO_BLOB)
        set(credentials.clientCertificate, CURLOPT_SSLCERT, CURLOPT_SSLCERT_BLOB)
        set(credentials.clientKey, CURLOPT_SSLKEY, CURLOPT_SSLKEY_BLOB)
        if credentials.skipsVerification {
            needle_curl_set_long(easy, CURLOPT_SSL_VERIFYPEER, 0)
            needle_curl_set_long(easy, CURLOPT_SSL_VERIFYHOST, 0)
        }
        if let proxy = credentials.proxy { needle_curl_set_string(easy, CURLOPT_PROXY, proxy) }
        if let username = credentials.username {
            needle_curl_set_string(easy, CURLOPT_USERNAME, username)
            needle_curl_set_string(easy, CURLOPT_PASSWORD, credentials.password ?? "")
        }
        if let token = try credentials.bearerToken() {
            add(header: "Authorization: Bearer \(token)")
        }
    }

    private func set(_ material: Credentials.Material?, _ file: CURLoption, _ blob: CURLoption) {
        switch material {
        case nil: break
        case .file(let path): needle_curl_set_string(easy, file, path)
        case .inline(let bytes):
            bytes.withUnsafeBytes { _ = needle_curl_set_blob(easy, blob, $0.baseAddress, $0.count) }
        }
    }

    fileprivate func receive(_ bytes: UnsafeRawBufferPointer) {
        yieldHead()
        continuation.yield(.body(Array(bytes)))
    }

    private func yieldHead() {
        guard !hasHead else { return }
        hasHead = true
        continuation.yield(
            .head(
                status: needle_curl_response_code(easy),
                retryAfter: .seconds(needle_curl_retry_after(easy))
            )
        )
    }

    func finish(_ result: CURLcode) {
        guard result == CURLE_OK else {
            let detail = String(cString: errorText)
            let reason = detail.isEmpty ? String(cString: curl_easy_strerror(result)) : detail
            return continuation.finish(throwing: ClientError.transport(url: url, reason: reason))
        }
        yieldHead()
        continuation.finish()
    }
}

private func receiveBody(
    _ data: UnsafeMutablePointer<CChar>?,
    _ size: Int,
    _ count: Int,
    _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let context else { return 0 }
    let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    transfer.receive(UnsafeRawBufferPointer(start: data, count: size * count))
    return size * count
}
