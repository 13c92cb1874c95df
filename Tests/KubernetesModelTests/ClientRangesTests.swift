import KubernetesModel
import NetworkTypes
import TestSupport
import Testing

@Suite struct ClientRangesTests {
    private func service(allowed: String = "", denied: String = "") throws -> Service {
        try readJSON(
            Service.self,
            """
            {"metadata": {"name": "s", "namespace": "n", "annotations": {
              "needletail.io/source-ranges": "\(allowed)",
              "needletail.io/deny-source-ranges": "\(denied)"}}}
            """
        )
    }

    @Test func `blocks and addresses are read, with white space and an end`() throws {
        let service = try service(
            allowed: "10.0.0.0/8, 192.0.2.7 ,2001:db8::/32,",
            denied: "2001:db8::1"
        )
        #expect(
            service.clientRanges.allowed
                == ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"].map(prefix)
        )
        #expect(service.clientRanges.denied == [prefix("2001:db8::1/128")])
        #expect(service.problems.isEmpty)
    }

    @Test(arguments: ["", "  "]) func `an empty annotation is none`(value: String) throws {
        let service = try service(allowed: value, denied: value)
        #expect(!service.clientRanges.isGiven && service.problems.isEmpty)
    }

    @Test(arguments: ["all", "10.0.0.0/33", "10.0.0.0-10.0.0.9", "10.0.0", "*"])
    func `what is no block is told, and the others count`(entry: String) throws {
        let both = try service(allowed: "10.0.0.0/8,\(entry)", denied: "\(entry),10.1.0.0/16")
        #expect(both.clientRanges.allowed == [prefix("10.0.0.0/8")])
        #expect(both.clientRanges.denied == [prefix("10.1.0.0/16")])
        #expect(
            both.problems.map(\.field) == [
                "metadata.annotations[needletail.io/source-ranges]",
                "metadata.annotations[needletail.io/deny-source-ranges]",
            ]
        )
        #expect(both.problems.allSatisfy { $0.reason.contains("\"\(entry)\"") })
        // Nobody is meant to be let in by a mistake.
        let none = try service(allowed: entry, denied: ",\(entry)")
        #expect(none.clientRanges.allowed == [] && none.clientRanges.denied == [])
    }
}
