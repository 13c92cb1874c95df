internal import CCurl
internal import CNeedleShim
internal import Synchronization

/// Owns an easy handle, and receives the answer from curl's callbacks.
// SAFETY: the transfer is set up before it is submitted. After that, only the driving thread
// touches it, except for `backlog`, which has a lock. curl's callbacks hold it unretained, and the
// driver keeps it for as long as the handle is added.
final class Transfer: @unchecked Sendable {
    let easy: UnsafeMutableRawPointer
    private var headers: UnsafeMutablePointer<curl_slist>?
    private var destination: UnsafeMutablePointer<curl_slist>?
    private let continuation: AsyncThrowingStream<HTTPEvent, any Error>.Continuation
    private let name: String
    private let kind: String
    private let server: String
    private let links: ServerLinks
    private let traffic: APITraffic
    /// The bytes that were added to the traffic.
    private var metered = APITraffic.Bytes()
    private var hasHead = false
    private let errorText = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))

    /// The bytes that were received but not yet read.
    private struct Backlog {
        var count = 0
        var isPaused = false
    }
    private let backlog = Mutex(Backlog())
    private static let backlogLimit = 256 << 10

    var key: OpaquePointer { OpaquePointer(easy) }

    init(
        _ request: HTTPRequest,
        _ credentials: Credentials,
        _ identity: Identity,
        _ links: ServerLinks,
        _ traffic: APITraffic,
        _ continuation: AsyncThrowingStream<HTTPEvent, any Error>.Continuation
    ) throws(ClientError) {
        (kind, server) = (request.kind, credentials.server)
        (self.links, self.traffic) = (links, traffic)
        let url = credentials.server + request.path
        name = "\(request.method) \(url)"
        guard let easy = curl_easy_init() else {
            throw .transport(request: name, reason: "libcurl cannot be initialized")
        }
        self.easy = easy
        self.continuation = continuation
        errorText.pointee = 0
        needle_curl_set_pointer(easy, CURLOPT_ERRORBUFFER, errorText)
        needle_curl_set_string(easy, CURLOPT_URL, url)
        if let name = credentials.serverName, !name.isEmpty { verify(as: name, url) }
        needle_curl_set_string(easy, CURLOPT_USERAGENT, "needletail")
        needle_curl_set_long(easy, CURLOPT_NOSIGNAL, 1)
        needle_curl_set_long(easy, CURLOPT_CONNECTTIMEOUT, 30)
        needle_curl_set_long(easy, CURLOPT_TCP_KEEPALIVE, 1)
        needle_curl_set_long(easy, CURLOPT_TCP_KEEPIDLE, 30)
        needle_curl_set_long(easy, CURLOPT_TCP_KEEPINTVL, 10)
        needle_curl_set_long(easy, CURLOPT_LOW_SPEED_LIMIT, 1)
        let idleSeconds = Int(request.idleLimit.components.seconds)
        needle_curl_set_long(easy, CURLOPT_LOW_SPEED_TIME, idleSeconds)
        // Until it is known whether the server speaks HTTP/2, requests wait for the first connection,
        // since one is enough for all of them.
        if url.hasPrefix("https://") { needle_curl_set_long(easy, CURLOPT_PIPEWAIT, 1) }
        // An empty text stands for every compression that libcurl supports; API servers compress lists
        // of 128 KiB and more. What is compressed nevertheless is unpacked in either case.
        let isNear = credentials.proxy == nil && links.staysHere(server)
        needle_curl_set_string(easy, CURLOPT_ACCEPT_ENCODING, isNear ? "identity" : "")
        add(header: "Accept: \(request.accept)")
        send(request)
        authenticate(credentials, identity)
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

    private func send(_ request: HTTPRequest) {
        needle_curl_set_string(easy, CURLOPT_CUSTOMREQUEST, request.method)
        guard let body = request.body else { return }
        add(header: "Content-Type: \(request.contentType)")
        // Without this empty header, curl would wait for the server's consent to send the body.
        add(header: "Expect:")
        body.withUnsafeBytes { _ = needle_curl_set_body(easy, $0.baseAddress, $0.count) }
    }

    /// Expects a certificate for a name other than the URL's host (`tls-server-name`).
    ///
    /// The URL then contains the certificate's name; the peer and the Host header stay the same.
    private func verify(as name: String, _ url: String) {
        guard url.hasPrefix("https://") else { return }
        let rest = url.dropFirst("https://".count)
        let authority = rest.prefix { $0 != "/" }
        let path = rest.dropFirst(authority.count)
        let colon = authority.lastIndex(of: ":").flatMap { index in
            // A colon inside brackets belongs to an IPv6 address.
            authority[index...].contains("]") ? nil : index
        }
        let port = colon.map { String(authority[authority.index(after: $0)...]) } ?? "443"
        let host = colon.map { authority[..<$0] } ?? authority
        needle_curl_set_string(easy, CURLOPT_URL, "https://\(name):\(port)\(path)")
        destination = curl_slist_append(nil, "\(name):\(port):\(host):\(port)")
        needle_curl_set_pointer(easy, CURLOPT_CONNECT_TO, destination)
        add(header: "Host: \(authority)")
    }

    /// Sets certificates by content, not by path.
    ///
    /// curl reuses a connection only if they are equal, so a renewed certificate takes effect at
    /// once.
    private func authenticate(_ credentials: Credentials, _ identity: Identity) {
        set(CURLOPT_CAINFO_BLOB, identity.certificateAuthority)
        set(CURLOPT_SSLCERT_BLOB, identity.clientCertificate)
        set(CURLOPT_SSLKEY_BLOB, identity.clientKey)
        if credentials.skipsVerification {
            needle_curl_set_long(easy, CURLOPT_SSL_VERIFYPEER, 0)
            needle_curl_set_long(easy, CURLOPT_SSL_VERIFYHOST, 0)
        }
        // Without an explicit proxy, libcurl reads HTTPS_PROXY and NO_PROXY.
        if let proxy = credentials.proxy { needle_curl_set_string(easy, CURLOPT_PROXY, proxy) }
        if let username = credentials.username {
            needle_curl_set_string(easy, CURLOPT_USERNAME, username)
            needle_curl_set_string(easy, CURLOPT_PASSWORD, credentials.password ?? "")
        }
        if let token = identity.token { add(header: "Authorization: Bearer \(token)") }
        for (name, value) in credentials.impersonation { add(header: "\(name): \(value)") }
    }

    private func set(_ option: CURLoption, _ content: [UInt8]?) {
        content?.withUnsafeBytes { bytes in
            _ = needle_curl_set_blob(easy, option, bytes.baseAddress, bytes.count)
        }
    }

    // MARK: The answer

    /// Receives a part of the body; false asks curl to pass the same bytes again after a pause.
    fileprivate func receive(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let isAccepted = backlog.withLock { backlog in
            backlog.isPaused =
                backlog.count > 0 && backlog.count + bytes.count > Self.backlogLimit
            if !backlog.isPaused { backlog.count += bytes.count }
            return !backlog.isPaused
        }
        guard isAccepted else { return false }
        yieldHead()
        continuation.yield(.body(Array(bytes)))
        return true
    }

    /// Records that bytes were read, and returns whether a paused transfer should go on.
    func consume(_ count: Int) -> Bool {
        backlog.withLock { backlog in
            backlog.count -= count
            guard backlog.isPaused, backlog.count <= Self.backlogLimit / 2 else { return false }
            backlog.isPaused = false
            return true
        }
    }

    /// Adds the bytes since the last call to the traffic.
    func meter() {
        let now = APITraffic.Bytes(
            received: needle_curl_received(easy),
            sent: needle_curl_sent(easy)
        )
        guard now != metered else { return }
        traffic.add(
            APITraffic.Bytes(
                received: now.received - metered.received,
                sent: now.sent - metered.sent
            ),
            kind
        )
        metered = now
    }

    private func yieldHead() {
        guard !hasHead else { return }
        hasHead = true
        let peer = peer
        links.reached(server, at: peer)
        continuation.yield(
            .head(
                HTTPHead(
                    status: needle_curl_response_code(easy),
                    contentType: needle_curl_content_type(easy).map(String.init(cString:)) ?? "",
                    retryAfter: .seconds(needle_curl_retry_after(easy)),
                    peer: peer
                )
            )
        )
    }

    private var peer: ConnectionPeer? {
        var port = 0
        guard let address = needle_curl_peer(easy, &port), let port = UInt16(exactly: port)
        else { return nil }
        return ConnectionPeer(address: String(cString: address), port: port)
    }

    func finish(_ result: CURLcode) {
        guard result == CURLE_OK else {
            let detail = String(cString: errorText)
            let reason = detail.isEmpty ? String(cString: curl_easy_strerror(result)) : detail
            let error = ClientError.transport(request: name, reason: reason)
            return continuation.finish(throwing: error)
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
    let bytes = UnsafeRawBufferPointer(start: data, count: size * count)
    return transfer.receive(bytes) ? bytes.count : Int(CURL_WRITEFUNC_PAUSE)
}
