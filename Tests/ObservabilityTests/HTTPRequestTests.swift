import Observability
import TestSupport
import Testing

/// RFC 9112, as far as probes and Prometheus need it.
@Suite struct HTTPRequestTests {
    private func read(_ text: String) -> HTTPRequest.Progress { HTTPRequest.read(Array(text.utf8)) }

    private func request(_ text: String) throws -> HTTPRequest {
        guard case .complete(let request) = read(text) else {
            Issue.record("\(read(text))")
            throw NoRequest()
        }
        return request
    }

    private struct NoRequest: Error {}

    @Test func `a request has its parts`() throws {
        let request = try request(
            "PUT /debug/flags/v?a=b?c HTTP/1.1\r\nHost: localhost\r\nX-A:\t 1 \r\ncontent-length: 3\r\n\r\n123rest"
        )
        #expect(request.method == "PUT" && request.path == "/debug/flags/v")
        #expect(request.query == "a=b?c" && !request.isHTTP10)
        #expect(request.headers["x-a"] == "1 ")
        #expect(request.body == Array("123".utf8))
    }

    // RFC 9112, 2.2: a recipient may take a single LF for the end of a line.
    @Test func `line ends may lack their carriage returns`() throws {
        let request = try request("GET / HTTP/1.0\nA: b\n\n")
        #expect(request.isHTTP10 && request.headers == ["a": "b"])
    }

    @Test(
        arguments: [
            ("GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400), ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("get / HTTP/1.1\r\nHost: a\r\n\r\n", 400), ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /\r\n\r\n", 400), (" / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: \u{1}\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: \u{7F}\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4097\r\n\r\n", 413),
            ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        ]
    )
    func `what is no request of ours is refused with its status`(text: String, status: Int) {
        #expect(read(text) == .bad(status))
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `a request is the same however it arrives`(seed: UInt64) throws {
        var random = Seeded(seed)
        let body = (0..<Int.random(in: 0...100, using: &random)).map { _ in
            UInt8.random(in: 0 ... .max, using: &random)
        }
        let headers = (0..<Int.random(in: 0...5, using: &random)).map { "X-\($0): \($0)\r\n" }
        let head =
            "POST /a HTTP/1.1\r\nHost: a\r\n\(headers.joined())Content-Length: \(body.count)\r\n\r\n"
        let bytes = Array(head.utf8) + body
        let whole = HTTPRequest.read(bytes)
        guard case .complete(let request) = whole else {
            Issue.record("\(whole)")
            return
        }
        #expect(request.body == body && request.headers.count == headers.count + 2)
        for count in 0..<bytes.count {
            #expect(HTTPRequest.read(Array(bytes.prefix(count))) == .incomplete)
        }
        // What comes behind a request is no part of it.
        #expect(HTTPRequest.read(bytes + bytes) == whole)
    }

    @Test func `a head has a limit, whether it ends or not`() throws {
        let head = "GET / HTTP/1.1\r\nHost: a\r\nX: "
        let filler = { (count: Int) in String(repeating: "x", count: count) }
        #expect(read(head + filler(HTTPRequest.headLimit)) == .bad(431))
        #expect(read(head + filler(HTTPRequest.headLimit) + "\r\n\r\n") == .bad(431))
        let room = HTTPRequest.headLimit - head.utf8.count - 2
        _ = try request(head + filler(room) + "\r\n\r\n")
        #expect(read(head + filler(room + 1) + "\r\n\r\n") == .bad(431))
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `bytes of any kind do not trap`(seed: UInt64) {
        var random = Seeded(seed)
        let request = Array("PUT /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab".utf8)
        for _ in 0..<200 {
            var bytes = request
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(
                    in: 0 ... .max,
                    using: &random
                )
            }
            if case .complete(let request) = HTTPRequest.read(bytes) {
                #expect(request.path.hasPrefix("/") && !request.path.contains(" "))
                #expect(request.body.count <= HTTPRequest.bodyLimit)
            }
        }
    }
}

@Suite struct HTTPResponseTests {
    private func text(_ response: HTTPResponse, isHead: Bool = false) -> String {
        String(decoding: response.bytes(isHead: isHead), as: UTF8.self)
    }

    // RFC 9110, 8.6: the length is in bytes; 9.3.2: HEAD has the headers of GET.
    @Test func `a response says how long it is, and HEAD leaves it out`() {
        var response = HTTPResponse(200, HTTPResponse.plain, "é\n")
        response.headers = [("X-A", "b")]
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
            + "X-Content-Type-Options: nosniff\r\nX-A: b\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
        #expect(text(response) == head + "é\n")
        #expect(text(response, isHead: true) == head)
    }

    // RFC 9110, 15, and 10.2.1: 405 names what is allowed.
    @Test(
        arguments: [
            (400, "Bad Request"), (404, "Not Found"), (405, "Method Not Allowed"),
            (408, "Request Timeout"), (413, "Content Too Large"), (421, "Misdirected Request"),
            (431, "Request Header Fields Too Large"), (501, "Not Implemented"),
            (503, "Service Unavailable"),
        ]
    )
    func `a refusal has its status' phrase`(status: Int, phrase: String) {
        let refusal = HTTPResponse.refusal(status)
        #expect(text(refusal).hasPrefix("HTTP/1.1 \(status) \(phrase)\r\n"))
        #expect(refusal.body.hasPrefix("\(status) \(phrase)\n"))
        #expect(text(refusal).contains("\r\nAllow: GET, HEAD\r\n") == (status == 405))
    }
}

@Suite struct RoutesTests {
    private let requests = Counter("requests_total", "Requests.", labels: ["path", "code"])

    private var routes: Routes {
        var routes = Routes(counting: requests)
        routes.get("/healthz") { _ in HTTPResponse(200, HTTPResponse.plain, "ok") }
        routes.put("/flag") { request in
            HTTPResponse(200, HTTPResponse.plain, String(decoding: request.body, as: UTF8.self))
        }
        return routes
    }

    private func status(_ line: String, body: String = "") -> Int {
        let text = "\(line) HTTP/1.0\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        guard case .complete(let request) = HTTPRequest.read(Array(text.utf8)) else { return 0 }
        return routes.answer(request).status
    }

    @Test func `each path has its methods`() {
        #expect(status("GET /healthz") == 200 && status("HEAD /healthz?x") == 200)
        #expect(status("PUT /flag", body: "4") == 200)
        #expect(status("GET /flag") == 404 && status("PUT /healthz") == 405)
        #expect(status("GET /other") == 404 && status("PUT /other") == 404)
        #expect(status("POST /healthz") == 405 && status("DELETE /other") == 405)
    }

    @Test func `strangers' paths are counted as one`() {
        for path in ["/healthz", "/a", "/b", "/healthz"] { _ = status("GET \(path)") }
        #expect(
            Exposition.text([requests], openMetrics: false).split(separator: "\n").dropFirst(2)
                == [
                    "requests_total{path=\"/healthz\",code=\"200\"} 2",
                    "requests_total{path=\"other\",code=\"404\"} 2",
                ]
        )
    }

    // github.com/prometheus/common/expfmt: what a server's Accept header asks for.
    @Test func `the format is the one that was asked for`() {
        let gauge = Gauge("g", "Help.")
        let plain = Routes.exposition([gauge], accept: "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
        #expect(plain.contentType == "text/plain; version=0.0.4; charset=utf-8")
        #expect(plain.body == "# HELP g Help.\n# TYPE g gauge\ng 0\n")
        let open = Routes.exposition(
            [gauge],
            accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
        )
        #expect(open.contentType == "application/openmetrics-text; version=1.0.0; charset=utf-8")
        #expect(open.body == "# HELP g Help.\n# TYPE g gauge\ng 0\n# EOF\n")
    }

    @Test(arguments: [
        ("service=shop/web&at=1.5", ["service": "shop/web", "at": "1.5"]),
        ("target=10.96.0.10%3A80%2Ftcp&from=", ["target": "10.96.0.10:80/tcp", "from": ""]),
        ("a=x+y&a=%e2%82%AC", ["a": "€"]), ("a=x+y%2b", ["a": "x y+"]),
        ("a=%&b=%4&c=%zz&d=100%", ["a": "%", "b": "%4", "c": "%zz", "d": "100%"]),
        ("a=%+1", ["a": "% 1"]), ("a=%C3%28", ["a": "\u{FFFD}("]), ("", [:]), ("a", ["a": ""]),
    ])
    func `parameters are as forms send them`(query: String, parameters: [String: String]) throws {
        let text = "GET /x?\(query) HTTP/1.0\r\n\r\n"
        guard case .complete(let request) = HTTPRequest.read(Array(text.utf8)) else {
            Issue.record("no request")
            return
        }
        #expect(request.parameters == parameters)
    }
}
