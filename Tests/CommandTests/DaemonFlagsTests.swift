@testable import needletail
import Testing

/// Commands that run in the daemon's container take its flags.
@Suite struct DaemonFlagsTests {
    private let daemon = [
        "run", "--config=/etc/needletail/config.conf", "--hostname-override", "here", "-v", "2",
        "--once", "--write-config-to=/x",
    ]

    private func adopted(_ arguments: [String]) -> [String] {
        DaemonFlags.adopted(by: arguments, from: daemon)
    }

    @Test func `what is not said is as the daemon has it`() {
        #expect(
            adopted(["explain", "shop/web", "--from=10.0.0.1"]) == [
                "explain", "--config=/etc/needletail/config.conf",
                "--setting=hostname-override=here", "--setting=v=2", "shop/web", "--from=10.0.0.1",
            ]
        )
    }

    @Test(arguments: [
        "--config=x", "--manifests=/m", "--master=http://a", "--setting=proxy-mode=ipvs",
    ])
    func `whoever says something says everything`(flag: String) {
        #expect(adopted(["diff", flag]) == ["diff", flag])
    }

    @Test func `what is no daemon has no flags`() {
        #expect(DaemonFlags.ofFirstProcess().isEmpty)
        #expect(DaemonFlags.adopted(by: ["diff"], from: []) == ["diff"])
    }
}
