import NetworkTypes
import Testing

@testable import needletail_lab

/// HTTP as the lab's pods and commands speak it.
@Suite struct LabMessageTests {
    private func message(_ lines: String...) -> HTTPMessage {
        HTTPMessage(Array(lines.joined(separator: "\r\n").utf8))
    }

    @Test func `a message is whole when its body is as long as it says`() {
        let short = message("HTTP/1.0 200 OK", "Content-Length: 5", "", "web")
        #expect(!short.isWhole && short.head?.first == "HTTP/1.0 200 OK")
        let whole = message("HTTP/1.0 200 OK", "content-length: 3", "", "web")
        #expect(whole.isWhole && whole.body == Array("web".utf8))
        #expect(!message("HTTP/1.0 200 OK", "", "web").isWhole)
        #expect(message("GET / HTTP/1.0", "Host: a").head == nil)
    }

    @Test func `chunks are joined, and the last one ends the message`() {
        let head = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", ""]
        let begun = HTTPMessage(
            Array((head + ["3", "web", "A", "0123"]).joined(separator: "\r\n").utf8)
        )
        #expect(!begun.isWhole && begun.body == Array("web".utf8))
        let whole = HTTPMessage(
            Array((head + ["3", "web", "2", "-1", "0", "", ""]).joined(separator: "\r\n").utf8)
        )
        #expect(whole.isWhole && whole.body == Array("web-1".utf8))
    }

    @Test func `headers are found in any case`() {
        let request = message("GET /cart HTTP/1.0", "X-Forwarded-For: 172.31.0.100", "", "")
        #expect(request.header("x-forwarded-for") == "172.31.0.100")
        #expect(request.header("forwarded") == nil)
    }

    @Test(
        arguments: [
            ("10.96.0.10:80", "10.96.0.10:80", nil), ("[fd96::10]:8080", "[fd96::10]:8080", nil),
            ("http://10.96.0.10", "10.96.0.10:80", "/"),
            ("http://10.96.0.10:8080/cart/1", "10.96.0.10:8080", "/cart/1"),
            ("http://[fd96::10]/cart", "[fd96::10]:80", "/cart"),
            ("http://[fd96::10]:81", "[fd96::10]:81", "/"),
        ] as [(String, String, String?)]
    )
    func `a target is an address with a port, or a URL`(
        text: String,
        key: String,
        path: String?
    ) throws {
        let target = try LabTarget(text)
        #expect(target.key == (try FrontendKey(labArgument: key)))
        #expect(target.path == path)
    }

    @Test(arguments: ["10.96.0.10", "http://", "http://name/", "http://10.96.0.10:x/", ":80"])
    func `what is neither is refused`(text: String) {
        #expect(throws: (any Error).self) { try LabTarget(text) }
    }

    @Test func `a URL is not asked for by datagrams`() {
        #expect(throws: (any Error).self) { try LabTarget("http://10.96.0.10", .udp) }
    }
}
