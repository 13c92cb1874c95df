import BinarySupport
import Glibc
import NetworkTypes
import Observability
import Synchronization
import Testing
import Threads

@Suite(.serialized, .timeLimit(.minutes(30))) struct HTTPServerTests {
    private let server: HTTPServer
    private let port: UInt16

    init() throws {
        let server = HTTPServer(maximumConnections: 200)
        self.server = server
        // It is not known beforehand which port is free.
        for port in (20000..<32768).shuffled().prefix(50) {
            let address = ListenAddress(IPAddress(ipv4: 0x7F00_0001), UInt16(port))
            let listener = try? server.listen(on: address) { request in
                if request.path == "/large" {
                    let text = String(repeating: "x", count: 4 << 20)
                    return HTTPResponse(200, HTTPResponse.plain, text)
                }
                let text = "\(request.method) \(request.path)"
                return HTTPResponse(200, HTTPResponse.plain, text)
            }
            if listener != nil {
                self.port = UInt16(port)
                return
            }
        }
        throw ListenFailure()
    }

    private struct ListenFailure: Error {}

    private func ask(_ text: String = "GET /a?b HTTP/1.1\r\nHost: localhost\r\n\r\n") throws
        -> String
    {
        try HTTPProbe.exchange(text, port: port) ?? ""
    }

    @Test func `a request is answered, and the connection ends`() throws {
        defer { server.stop() }
        let answer = try ask()
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.hasSuffix("\r\n\r\nGET /a"))
        #expect(answer.contains("Connection: close") && answer.contains("Content-Length: 6"))
        let head = try ask("HEAD /a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        #expect(head.contains("Content-Length: 7") && head.hasSuffix("\r\n\r\n"))
        #expect(try ask("GET /large HTTP/1.0\n\n").utf8.count > 4 << 20)
    }

    @Test(arguments: [
        ("\r\n\r\n", 400), ("GET\r\n\r\n", 400), ("GET / FTP/1.1\r\n\r\n", 400),
        ("get / HTTP/1.1\r\n\r\n", 400), ("GET x HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\rb: c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400), ("GET / HTTP/1.1\r\n: x\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nContent-Length: -1\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nContent-Length: 99999\r\n\r\n", 413),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nHost: attacker.example\r\n\r\n", 421),
        ("\u{0}\u{1}\u{2}\r\n\r\n", 400), ("too long", 431),
    ])
    func `what is no request is refused`(text: String, status: Int) throws {
        defer { server.stop() }
        let request = status == 431 ? "GET /" + String(repeating: "a", count: 9000) : text
        #expect(try ask(request).hasPrefix("HTTP/1.1 \(status) "))
        #expect(try ask().hasPrefix("HTTP/1.1 200 "))
    }

    @Test func `a thousand connections and slow clients take nothing from the others`() throws {
        defer { server.stop() }
        DescriptorLimit.raise()
        var idle: [Int32] = []
        defer { for descriptor in idle { close(descriptor) } }
        for number in 0..<1000 {
            guard let descriptor = try HTTPProbe.connected(port: port) else { continue }
            idle.append(descriptor)
            // Some clients send nothing, and some send the beginning of a request only.
            if number.isMultiple(of: 2) { _ = send(descriptor, "GET /", 5, Int32(MSG_NOSIGNAL)) }
            if number.isMultiple(of: 100) { #expect(try ask().hasPrefix("HTTP/1.1 200 ")) }
        }
        #expect(idle.count == 1000)
        #expect(try ask().hasPrefix("HTTP/1.1 200 "))
    }

    /// More connections than the server keeps arrive between the parts of another client's request.
    @Test(arguments: [("GET /a HT", ""), ("", "GET /a HT")])
    func `a crowd that all do the same takes no place from others`(
        first: String,
        ofCrowd: String
    ) throws {
        defer { server.stop() }
        let asking = try #require(try HTTPProbe.connected(port: port))
        defer { close(asking) }
        say(first, asking)
        #expect(try ask().hasPrefix("HTTP/1.1 200 "))
        var crowd: [Int32] = []
        defer { for descriptor in crowd { close(descriptor) } }
        for _ in 0..<600 {
            guard let descriptor = try HTTPProbe.connected(port: port) else { continue }
            crowd.append(descriptor)
            say(ofCrowd, descriptor)
        }
        #expect(crowd.count == 600)
        #expect(try ask().hasPrefix("HTTP/1.1 200 "))
        say(String("GET /a HTTP/1.0\r\n\r\n".dropFirst(first.count)), asking)
        var answer = [UInt8](repeating: 0, count: 64)
        let count = recv(asking, &answer, answer.count, 0)
        #expect(String(decoding: answer.prefix(max(0, count)), as: UTF8.self).contains(" 200 OK"))
    }

    private func say(_ text: String, _ descriptor: Int32) {
        guard !text.isEmpty else { return }
        var text = text
        text.withUTF8 { _ = send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    }

    @Test func `probes are answered in a flood of connections`() throws {
        defer { server.stop() }
        let flood = Flood(port: port)
        defer { flood.stop() }
        while flood.made < 1000 { usleep(1000) }
        for _ in 0..<30 { #expect(try ask().hasPrefix("HTTP/1.1 200 ")) }
    }

    @Test func `an address is given back`() throws {
        defer { server.stop() }
        let other = ListenAddress(IPAddress(ipv4: 0x7F00_0002), port)
        let listener = try server.listen(on: other) { _ in HTTPResponse(200, "", "") }
        #expect(throws: ListenError.self) {
            try server.listen(on: other) { _ in .refusal(404) }
        }
        server.stopListening(listener)
        // The server's thread closes the address a little later.
        let deadline = ContinuousClock.now + .seconds(20)
        while (try? server.listen(on: other) { _ in .refusal(404) }) == nil {
            try #require(.now < deadline)
            usleep(1000)
        }
    }

    /// The kernel gives the lowest free number to the next file, whoever opens it.
    @Test func `a listener that is closed already is not taken for another file`() throws {
        let other = ListenAddress(IPAddress(ipv4: 0x7F00_0003), port)
        let listener = try server.listen(on: other) { _ in .refusal(404) }
        server.stop()
        let deadline = ContinuousClock.now + .seconds(20)
        while let probe = try HTTPProbe.connected(port: port) {
            close(probe)
            try #require(.now < deadline)
            usleep(1000)
        }
        let pairs = (0..<64).map { _ in
            var pair: [Int32] = [-1, -1]
            socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair)
            return pair
        }
        defer { for descriptor in pairs.joined() { close(descriptor) } }
        server.stopListening(listener)
        for pair in pairs {
            var byte: UInt8 = 7
            #expect(send(pair[0], &byte, 1, Int32(MSG_NOSIGNAL)) == 1)
            #expect(recv(pair[1], &byte, 1, 0) == 1)
        }
    }

    @Test(arguments: [
        ("127.0.0.1:80", "127.0.0.1:80"), ("[::]:10256", "[::]:10256"), ("0.0.0.0", nil),
        ("::1:80", nil), ("x:80", nil), ("1.2.3.4:99999", nil),
    ])
    func `addresses with ports are read`(text: String, expected: String?) {
        #expect(ListenAddress(text)?.description == expected)
    }
}

/// Up to 20,000 connections a second that send nothing; the last 256 of them stay open.
private final class Flood: Sendable {
    private let state = Mutex((made: 0, isStopped: false, isOver: false))

    init(port: UInt16) { startThread { [self] in run(port) } }

    var made: Int { state.withLock { $0.made } }

    /// Stops the flood, and returns when all of its connections are closed.
    func stop() {
        state.withLock { $0.isStopped = true }
        while !state.withLock({ $0.isOver }) { usleep(1000) }
    }

    private func run(_ port: UInt16) {
        var open: [Int32] = []
        let start = ContinuousClock.now
        while !state.withLock({ $0.isStopped }) {
            let due = Int((ContinuousClock.now - start) / .microseconds(50))
            guard made < due else {
                usleep(200)
                continue
            }
            let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
            let descriptor = socket(AF_INET, type, 0)
            _ = withSocketAddress("127.0.0.1", port) { connect(descriptor, $0, $1) }
            open.append(descriptor)
            if open.count > 256 { close(open.removeFirst()) }
            state.withLock { $0.made += 1 }
        }
        for descriptor in open { close(descriptor) }
        state.withLock { $0.isOver = true }
    }
}
