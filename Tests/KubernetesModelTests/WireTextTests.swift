import FoundationEssentials
import KubernetesModel
import KubernetesWire
import NetworkTypes
import TestSupport
import Testing

private typealias P = ProtobufBytes

/// An API server admits texts in protobuf that are no UTF-8.
@Suite struct WireTextTests {
    private let bad: [UInt8] = [0x61, 0xFF, 0xC0, 0x80]

    @Test func `an object whose name is no UTF-8 cannot be read, and says why`() {
        for (metadata, field) in [
            (P.field(1, bad) + P.field(3, "shop"), "metadata.name"),
            (P.field(1, "web") + P.field(3, bad), "metadata.namespace"),
            (P.field(3, "shop"), "metadata.name"),
        ] {
            let error = #expect(throws: FieldProblem.self) {
                _ = try P.read(Service.self, P.field(1, metadata))
            }
            #expect(error?.field == field)
        }
    }

    @Test func `names that would become equal are left out with a problem`() throws {
        let ports = P.field(1, P.field(1, bad) + P.field(3, 80)) + P.field(1, P.field(3, 81))
        let service = try P.read(
            Service.self,
            P.field(1, P.field(1, "web") + P.field(3, "shop")) + P.field(2, ports)
        )
        #expect(service.ports.map(\.port) == [81])
        #expect(service.problems.map(\.field) == ["spec.ports[0].name"])
        let slice = try P.read(
            EndpointSlice.self,
            P.field(
                1,
                P.field(1, "web") + P.field(3, "shop")
                    + P.field(11, P.field(1, "kubernetes.io/service-name") + P.field(2, bad))
            ) + P.field(4, "IPv4")
        )
        #expect(slice.service == nil)
        #expect(slice.problems.map(\.field) == ["metadata.labels[kubernetes.io/service-name]"])
    }

    @Test func `texts that nobody compares are shown with the replacement character`() {
        #expect(WireText(Data(bad)).text == "a\u{FFFD}\u{FFFD}\u{FFFD}")
        #expect(WireText(Data(bad)).exactText == nil)
        #expect(WireText("é").exactText == "é")
    }

    // RFC 3339; the days were counted with GNU date.
    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("1969-12-31T23:59:59Z", -1000),
            ("2000-02-29T12:00:00Z", 951_825_600_000), ("2000-03-01T00:00:00Z", 951_868_800_000),
            ("2100-02-28T23:59:59Z", 4_107_542_399_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400_000),
            ("2026-11-21T07:50:58.1Z", 1_795_247_458_100),
            ("2026-11-21T07:50:58.123456789Z", 1_795_247_458_123),
        ] as [(String, Int64)]
    )
    func `times are milliseconds since 1970`(text: String, milliseconds: Int64) {
        #expect(millisecondsSince1970(text) == milliseconds)
    }

    @Test(arguments: ["", "2026-11-21", "2026-11-21T07:50:58+01:00", "now", "2026-11-21T07:50Z"])
    func `a time in another form is none`(text: String) {
        #expect(millisecondsSince1970(text) == nil)
    }
}

@Suite struct ServiceReadingTests {
    private func service(_ spec: String, status: String = "{}") throws -> Service {
        try readJSON(
            Service.self,
            #"{"metadata": {"name": "web", "namespace": "shop"}, "spec": {\#(spec)}, "status": \#(status)}"#
        )
    }

    // core/v1: clusterIP and clusterIPs[0] are the same; "None" makes a Service headless.
    @Test func `a headless Service has no cluster IP`() throws {
        for spec in [
            #""clusterIP": "None""#, #""clusterIP": "None", "clusterIPs": ["None"]"#,
            #""clusterIPs": ["None"]"#, #""clusterIP": """#, #""clusterIPs": [""]"#,
        ] {
            let service = try service(spec)
            #expect(service.clusterIPs.isEmpty && service.problems.isEmpty, "\(spec)")
        }
        #expect(try service(#""clusterIP": "10.96.0.1""#).clusterIPs == [ip("10.96.0.1")])
    }

    // DefaultClientIPServiceAffinitySeconds and the limits of validation.go.
    @Test(
        arguments: [
            (#""sessionAffinity": "ClientIP""#, 10_800, 0),
            (#""sessionAffinity": "None""#, nil, 0),
            (#""sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}"#, nil, 0),
            (
                #""sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 1}}"#,
                1, 0
            ),
            (
                #""sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86400}}"#,
                86_400, 0
            ),
            (
                #""sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}"#,
                10_800, 1
            ),
            (
                #""sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}"#,
                10_800, 1
            ),
        ] as [(String, UInt32?, Int)]
    )
    func `affinity lasts as long as the API allows`(
        spec: String,
        seconds: UInt32?,
        problems: Int
    ) throws {
        let service = try service(spec)
        #expect(service.affinityTimeout == seconds && service.problems.count == problems)
    }

    @Test func `an unknown word is its default, with a problem`() throws {
        let service = try service(
            #""type": "Portal", "internalTrafficPolicy": "Near", "externalTrafficPolicy": "local""#
        )
        #expect(service.type == .clusterIP)
        #expect(service.internalTrafficPolicy == .cluster)
        #expect(service.externalTrafficPolicy == .cluster)
        #expect(
            service.problems.map(\.description) == [
                #"spec.type: "Portal" is unknown; treated as ClusterIP"#,
                #"spec.internalTrafficPolicy: "Near" is unknown; treated as Cluster"#,
                #"spec.externalTrafficPolicy: "local" is unknown; treated as Cluster"#,
            ]
        )
    }

    @Test func `null means absent`() throws {
        let nothing = try service("")
        #expect(
            try service(
                #""ports": null, "clusterIPs": null, "type": null, "healthCheckNodePort": null"#
            ) == nothing
        )
    }

    // pkg/api/v1/service/util.go: ExternallyAccessible.
    @Test func `who is reached from outside`() throws {
        #expect(try !service(#""type": "ClusterIP""#).isExternallyAccessible)
        #expect(try service(#""type": "NodePort""#).isExternallyAccessible)
        #expect(try service(#""type": "LoadBalancer""#).isExternallyAccessible)
        #expect(try service(#""externalIPs": ["203.0.113.1"]"#).isExternallyAccessible)
        #expect(try !service(#""type": "ExternalName""#).isExternallyAccessible)
    }

    @Test func `what cannot be read may be what a list does not show`() {
        var unreadable = UnreadableObjects()
        #expect(unreadable.isEmpty)
        let web = ObjectName(namespace: "shop", name: "web")
        unreadable.insert(namespace: "shop", name: "api")
        #expect(!unreadable.contains(web) && !unreadable.isEmpty)
        unreadable.insert(namespace: "shop", name: nil)
        #expect(unreadable.contains(web))
        #expect(!unreadable.contains(ObjectName(namespace: "bank", name: "web")))
        unreadable.insert(namespace: nil, name: "x")
        #expect(unreadable.contains(ObjectName(namespace: "bank", name: "web")))
    }
}
