import FoundationEssentials
import KubernetesModel
import NetworkTypes
import TestSupport
import Testing

private func decode<T: Decodable>(_: T.Type, _ json: String) throws -> T {
    try JSONDecoder().decode(T.self, from: Data(json.utf8))
}

@Suite struct DecodingTests {
    @Test func `reads every object of recorded lists`() throws {
        let objects = try ["services", "endpointslices", "nodes", "servicecidrs"].flatMap { name in
            try JSONDecoder().decode(
                KubernetesObjects.self,
                from: Fixture.data("Fixtures/apiserver/list/\(name).json")
            ).objects
        }
        let services = objects.compactMap {
            if case .service(let service) = $0 { service } else { nil }
        }
        let slices = objects.compactMap {
            if case .endpointSlice(let slice) = $0 { slice } else { nil }
        }
        // The counts are from the inventory of the recording, and include Service kubernetes.
        #expect(services.count >= 33)
        #expect(slices.count >= 24)
        #expect(services.contains { $0.belongsToOtherProxy })
        #expect(services.contains { $0.type == .externalName })
        #expect(services.contains { $0.affinityTimeout == 77 })
        #expect(services.contains { $0.ports.contains { $0.transport == .sctp } })
        #expect(services.contains { $0.clusterIPs.count == 2 })
        #expect(slices.contains { $0.family == nil })
        #expect(slices.contains { $0.endpoints.contains { !$0.place.zoneHints.isEmpty } })
        #expect(objects.count { if case .node = $0 { true } else { false } } == 5)
    }

    @Test func `absent conditions mean ready, serving and not terminating`() throws {
        let slice = try decode(
            EndpointSlice.self,
            """
            {"metadata": {"name": "s", "namespace": "n", "labels": {"kubernetes.io/service-name": "web"}},
             "addressType": "IPv4", "ports": [{"port": 8080}, {"name": "all"}],
             "endpoints": [{"addresses": ["10.0.0.1"]},
                           {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
                           {"addresses": ["10.0.0.3"], "conditions": {"ready": false, "terminating": true}},
                           {"addresses": ["10.0.0.4"], "conditions": {"ready": false, "serving": false, "terminating": true}}]}
            """
        )
        #expect(slice.service == ObjectName(namespace: "n", name: "web"))
        #expect(slice.ports == [EndpointPort(name: "", transport: .tcp, port: 8080)])
        #expect(slice.endpoints.map(\.isReady) == [true, false, false, false])
        #expect(slice.endpoints.map(\.isServing) == [true, true, true, false])
        #expect(slice.endpoints.map(\.isTerminating) == [false, false, true, true])
    }

    @Test func `unusable values are reported and the rest is kept`() throws {
        let service = try decode(
            Service.self,
            """
            {"metadata": {"name": "web", "namespace": "n", "creationTimestamp": "2026-11-21T07:50:58Z"},
             "spec": {"clusterIPs": ["10.96.0.300", "10.96.0.3"], "externalIPs": ["nowhere"],
               "loadBalancerSourceRanges": ["10.0.0.0/64"],
               "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 90000}},
               "ports": [{"port": 0}, {"port": 70000}, {"port": 80, "protocol": "ICMP"}, {"port": 81, "nodePort": -1}]}}
            """
        )
        #expect(service.clusterIPs == [ip("10.96.0.3")])
        #expect(service.ports == [ServicePort(name: "", transport: .tcp, port: 81)])
        #expect(service.loadBalancerSourceRanges == [])
        #expect(service.affinityTimeout == 10800)
        #expect(service.createdAt == 1_795_247_458)
        #expect(
            service.problems.map(\.field) == [
                "spec.clusterIPs[0]", "spec.externalIPs[0]", "spec.loadBalancerSourceRanges[0]",
                "spec.ports[0].port", "spec.ports[1].port", "spec.ports[2].protocol",
                "spec.ports[3].nodePort", "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
            ]
        )
    }

    @Test func `problems are counted, the first few told, and long values cut`() throws {
        let addresses = (0..<1000).map { _ in
            #"{"addresses": ["\#(String(repeating: "é", count: 1000))"]}"#
        }
        let slice = try decode(
            EndpointSlice.self,
            #"{"metadata": {"name": "s", "namespace": "n"}, "addressType": "IPv4", "endpoints": [\#(addresses.joined(separator: ","))]}"#
        )
        #expect(slice.problems.count == 11)
        #expect(slice.problems.map(\.count).reduce(0, +) == 1000)
        #expect(slice.problems.allSatisfy { "\($0)".utf8.count < 400 })
        #expect(
            slice.problems.last?.description == "and 990 more values that cannot be used as written"
        )
    }

    @Test func `the first weight that matches an endpoint counts`() throws {
        let blocks = (0..<70).map { "172.16.\($0).0/24=9" }.joined(separator: ",")
        let service = try decode(
            Service.self,
            #"{"metadata": {"name": "s", "namespace": "n", "annotations": {"ipvs.needletail.io/weights": "10.0.0.1=0, 10.0.0.0/24=2, a=3, 10.0.0.2=4, a=5,\#(blocks)"}}}"#
        )
        let table = WeightTable(service.balancing)
        #expect(table.weight(of: ip("10.0.0.1"), on: "a") == 0)
        #expect(table.weight(of: ip("10.0.0.2"), on: "a") == 2)
        #expect(table.weight(of: ip("10.9.0.2"), on: "a") == 3)
        #expect(table.weight(of: ip("10.9.0.2"), on: nil) == 1)
        #expect(table.weight(of: ip("172.16.62.1"), on: nil) == 9)
        #expect(table.weight(of: ip("172.16.69.1"), on: nil) == 1)
        #expect(service.problems.count == 7)
    }

    @Test(arguments: ["127.0.0.1", "0.0.0.0", "169.254.0.1", "fd00::1", "x"])
    func `no endpoint is a special address or of another family`(address: String) throws {
        let slice = try decode(
            EndpointSlice.self,
            #"{"metadata": {"name": "s", "namespace": "n"}, "addressType": "IPv4", "endpoints": [{"addresses": ["\#(address)"]}]}"#
        )
        #expect(slice.endpoints.isEmpty)
        #expect(slice.problems.map(\.field) == ["endpoints[0].addresses[0]"])
    }

    @Test func `the label headless makes an EndpointSlice or Endpoints nobody's`() throws {
        let labels = #""kubernetes.io/service-name": "web", "service.kubernetes.io/headless": """#
        let metadata = #""metadata": {"name": "web", "namespace": "n", "labels": {\#(labels)}}"#
        let slice = try decode(EndpointSlice.self, #"{\#(metadata), "addressType": "IPv4"}"#)
        #expect(slice.service == nil)
        let endpoints = try decode(
            Endpoints.self,
            #"{\#(metadata), "subsets": [{"addresses": [{"ip": "10.1.0.1"}], "ports": [{"port": 80}]}]}"#
        )
        #expect(endpoints.slices.isEmpty)
        let service = try decode(Service.self, #"{\#(metadata)}"#)
        #expect(!service.belongsToOtherProxy)
    }

    @Test func `an error names the field as Kubernetes writes it`() throws {
        let error = #expect(throws: DecodingError.self) {
            try decode(
                KubernetesObjects.self,
                #"{"kind": "List", "apiVersion": "v1", "items": [{"kind": "Service", "apiVersion": "v1", "metadata": {"name": "a"}, "spec": {"ports": [{"port": "http"}]}}]}"#
            )
        }
        #expect(error?.fieldProblem.field == "items[0].spec.ports[0].port")
        #expect(error?.fieldProblem.reason == "is not a whole number")
    }

    @Test func `kinds that a proxy does not read are left out`() throws {
        let objects = try decode(
            KubernetesObjects.self,
            #"{"kind": "ConfigMap", "apiVersion": "v1"}"#
        ).objects
        #expect(objects.isEmpty)
        #expect(throws: DecodingError.self) { try decode(KubernetesObjects.self, "{}") }
    }
}
