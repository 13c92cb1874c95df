import NetworkTypes
import Observability
import Testing

/// Tests that a web page cannot hide its name when it makes that name resolve to 127.0.0.1.
@Suite struct HostHeaderTests {
    private let loopback = IPAddress(ipv4: 0x7F00_0001)
    private let wildcard = IPAddress(ipv4: 0)

    private func request(_ text: String) throws -> HTTPRequest {
        guard case .complete(let request) = HTTPRequest.read(Array("\(text)\r\n\r\n".utf8)) else {
            throw NoRequest()
        }
        return request
    }

    private struct NoRequest: Error {}

    @Test(arguments: [
        "localhost", "LOCALHOST:10249", "127.0.0.1", "127.0.0.1:10249", "[::1]:10249", "[::1]",
        "192.0.2.7:10256", "[fd00::7]", " 10.0.0.1 ",
    ])
    func `an address or localhost is meant for us`(host: String) throws {
        for method in ["GET", "HEAD", "PUT", "POST"] {
            let request = try request("\(method) / HTTP/1.1\r\nHost: \(host)")
            #expect(request.isMeant(for: loopback) && request.isMeant(for: wildcard))
        }
    }

    @Test(arguments: [
        "attacker.example", "attacker.example:10249", "localhost.attacker.example", "node-1",
        "127.0.0.1.attacker.example", "[::1].attacker.example", "localhost@attacker", "", "[", "[]",
        "1", "2130706433", "0x7f.1",
    ])
    func `another name is refused at loopback, and wherever something is changed`(host: String)
        throws
    {
        let get = try request("GET / HTTP/1.1\r\nHost: \(host)")
        #expect(!get.isMeant(for: loopback))
        #expect(get.isMeant(for: wildcard), "Prometheus may ask by the node's name")
        let put = try request("PUT /debug/flags/v HTTP/1.1\r\nHost: \(host)")
        #expect(!put.isMeant(for: loopback) && !put.isMeant(for: wildcard))
    }

    @Test func `only HTTP 1.0 need not say it`() throws {
        for request in [try request("PUT / HTTP/1.0"), try request("PUT / HTTP/1.0\r\nHost:")] {
            #expect(request.isMeant(for: loopback) && request.isMeant(for: wildcard))
        }
        #expect(throws: NoRequest.self) { try request("GET / HTTP/1.1") }
    }
}
