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
        // The counts of the recording's own inventory (kubernetes included).
        #expect(services.count >= 33)
        #expect(slices.count >= 24)
        #expect(services.contains { $0.belongsToOtherProxy })
        #expect(services.contains { $0.type == .externalName })
        #expect(services.contains { $0.affinityTimeout == 77 })
        #expect(services.contains { $0.ports.contains { $0.transport == .sctp } })
        #expect(services.contains { $0.clusterIPs.count == 2 })
        #expect(slices.contains { $0.family == nil })
        #expect(slices.contains { $0.endpoints.contains { !$0.zoneHints.isEmpty } })
        #expect(objects.count { if case .node = $0 { true } else { false } } == 5)
    }

    @Test func `absent conditions mean ready and not terminating`() throws {
        let slice = try decode(
            EndpointSlice.self,
            """
            {"metadata": {"name": "s", "namespace": "n", "labels": {"kubernetes.io/service-name": "web"}},
             "addressType": "IPv4", "ports": [{"port": 8080}, {"name": "all"}],
             "endpoints": [{"addresses": ["10.0.0.1"]},
                           {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
                           {"addresses": ["10.0.0.3"], "conditions": {"ready": false, "serving": true, "terminating": true}}]}
            """
        )
        #expect(slice.service == ObjectName(namespace: "n", name: "web"))
        #expect(slice.ports == [EndpointPort(name: "", transport: .tcp, port: 8080)])
        #expect(slice.endpoints.map(\.isReady) == [true, false, false])
        #expect(slice.endpoints.map(\.isServing) == [true, false, true])
        #expect(slice.endpoints.map(\.isTerminating) == [false, false, true])
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
