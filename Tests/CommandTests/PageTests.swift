import BinarySupport
import FoundationEssentials
import NetworkNamespaces
import Testing

@testable import needletail

/// Tests of the daemon's page, in a browser.
@Suite(.timeLimit(.minutes(30))) struct PageTests {
    private let node: Node
    private let daemon: Daemon

    init() throws {
        node = try Node()
        try node.write([2])
        daemon = try node.daemon("nftables")
        try daemon.wait {
            try node.namespace.run(["nft", "list", "tables"]).contains("ip needletail")
        }
    }

    /// Opens the page, and returns what the browser has made of it a while later.
    private func page(_ hash: String) throws -> String {
        // The browser's clock jumps from timer to timer, so the page asks often in a short time.
        // The programs that a browser starts outlive it where nobody ends them with it.
        try node.namespace.run([
            "timeout", "--kill-after=5", "120", "chromium", "--headless", "--no-sandbox",
            "--disable-gpu", "--disable-dev-shm-usage",
            "--user-data-dir=\(node.folder.path)/.browser",
            "--virtual-time-budget=300000", "--dump-dom", "http://127.0.0.1:10249/#\(hash)",
        ])
    }

    @Test func `it loads, searches and explains`() throws {
        let good = try page("explain=10.96.0.10:80&search=web")
        #expect(good.contains(">ready<") && good.contains("The kernel does this."), "\(good)")
        #expect(good.contains("class=\"wanted\"") && !good.contains("class=\"dropped\""))
        #expect(good.contains("<a>shop/web</a>") && good.contains(">1 of 1<"))
        #expect(good.contains("10.244.1.2:8080"))
        let none = try page("search=nothing-like-it")
        #expect(none.contains(">0 of 1<") && !none.contains("<a>shop/web</a>"))
        // What another program drops is no damage that the daemon repairs.
        try node.namespace.run([
            "nft",
            "add table ip guard; add chain ip guard f { type filter hook forward priority 0; };"
                + " add rule ip guard f tcp dport 8080 drop",
        ])
        let bad = try page("explain=shop/web&from=10.244.1.3")
        #expect(bad.contains("The kernel does something else."), "\(bad)")
        #expect(bad.contains("class=\"dropped\"") && bad.contains("table ip guard, chain f"))
        let wrong = try page("explain=%3Cb%3Eweb%3C/b%3E")
        #expect(
            wrong.contains("&lt;b&gt;web&lt;/b&gt;") && wrong.contains("there is no Service")
        )
    }

    @Test func `others than this node are refused`() throws {
        let other = try Node()
        try other.write([2])
        let open = try other.daemon("nftables", ["--metrics-bind-address", "0.0.0.0:10249"])
        try open.wait {
            try other.namespace.run(["nft", "list", "tables"]).contains("ip needletail")
        }
        func status(_ namespace: NetworkNamespace, _ host: String, _ path: String) throws -> String
        {
            try namespace.run([
                "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                "http://\(host):10249\(path)",
            ])
        }
        for path in ["/", "/services", "/explain?target=shop/web"] {
            #expect(try status(other.client, Node.address, path) == "403")
            #expect(["200", "202"].contains(try status(other.namespace, "127.0.0.1", path)))
        }
        #expect(try status(other.client, Node.address, "/metrics") == "200")
    }

    @Test func `nothing is asked of anybody else`() {
        #expect(!Page.html.contains("src=") && Page.html.contains("default-src 'none'"))
        let addresses = Page.html.matches(of: /https?:[^'" ]*/).map { String($0.output) }
        #expect(addresses == ["http://www.w3.org/2000/svg"])
    }
}
