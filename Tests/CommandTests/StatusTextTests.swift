import Foundation
import NetworkTypes
import Observability
import Testing

@testable import needletail

@Suite struct StatusTextTests {
    private func status(_ name: String) throws -> StatusDocument {
        let fields: [String: Any] = [
            "version": "1.0", "mode": "nftables", "node": name,
            "started": "2026-01-01T00:00:00.000000Z",
            "ready": false, "reason": "the last sync failed: \(name)", "nodeEligible": false,
            "notEligibleReason": "the API has no Node \(name)", "services": 3, "endpoints": 7,
            "pendingChanges": 2, "missingLists": ["endpoints", "services"],
            "drift": ["detected": 2, "repaired": 1, "last": "2026-01-01T00:00:09.000000Z"],
            "start": ["lists": 1.25, "firstServices": 0.0804, "services": 50, "programmed": 12],
            "traffic": ["received": 123_456, "sent": 789],
            "apiViewAgeSeconds": ["Service": 12.7], "families": ["IPv4": true, "IPv6": false],
        ]
        let data = try JSONSerialization.data(withJSONObject: fields)
        return try JSONDecoder().decode(StatusDocument.self, from: data)
    }

    @Test func `the screen`() throws {
        let text = StatusText.lines(try status("node-1")).joined()
        #expect(
            text == """
                needletail   1.0, mode nftables, node node-1
                since        2026-01-01T00:00:00.000000Z
                ready        no: the last sync failed: node-1
                healthy      IPv4 yes, IPv6 no
                node         load balancers are told to send nothing here (/healthz is 503): the API has no Node node-1
                Services     3
                endpoints    7
                pending      2 changes not programmed yet
                start        lists after 1250 ms, the first Services programmed 80 ms later, programming 12 of 50 Services
                last sync    none
                drift        changed by other programs 2 times, repaired 1 times, last 2026-01-01T00:00:09.000000Z
                waiting for  the lists of endpoints, services
                API          Service: heard 12 s ago
                API          123456 bytes received, 789 sent since the start

                """
        )
    }

    @Test func `a name does not act on the screen`() throws {
        for scalar in (0..<0x100).compactMap(Unicode.Scalar.init) {
            let lines = StatusText.lines(try status("a\(scalar)b"))
            #expect(lines.count == 14)
            #expect(
                lines.allSatisfy {
                    String($0.dropLast()).printable == $0.dropLast() && $0.last == "\n"
                }
            )
        }
    }
}
