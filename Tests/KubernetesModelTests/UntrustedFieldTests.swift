import KubernetesModel
import NetworkTypes
import TestSupport
import Testing

/// Values that an API server of some version has let pass; numbers are Kubernetes' issues.
@Suite struct UntrustedFieldTests {
    private func endpoints(_ addresses: String...) throws -> Endpoints {
        let list = addresses.map { #"{"ip": "\#($0)"}"# }.joined(separator: ", ")
        return try readJSON(
            Endpoints.self,
            """
            {"metadata": {"name": "web", "namespace": "shop"}, "subsets": [
              {"addresses": [\(list)], "notReadyAddresses": [\(list)], "ports": [{"port": 80}]}]}
            """
        )
    }

    // CVE-2021-25737 (#102106) and CVE-2021-25740 (#103675).
    @Test(
        arguments: [
            "127.0.0.1", "127.8.9.10", "169.254.169.254", "0.0.0.0", "224.0.0.1", "::1", "fe80::1",
            "::", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "127.0.0.01",
        ]
    )
    func `no endpoint is the node itself or its link, in either kind of object`(address: String)
        throws
    {
        let mixed = try endpoints(address, "10.0.0.1", "fd00::1")
        let kept = mixed.slices.map { $0.endpoints.map(\.address) }
        #expect(kept == [[ip("10.0.0.1"), ip("10.0.0.1")], [ip("fd00::1"), ip("fd00::1")]])
        #expect(mixed.slices.flatMap(\.problems).count == 2, "each list, and only once")
        #expect(try endpoints(address).slices.isEmpty)
        for family in ["IPv4", "IPv6"] {
            let good = family == "IPv4" ? "10.0.0.1" : "fd00::1"
            let slice = try readJSON(
                EndpointSlice.self,
                """
                {"metadata": {"name": "s", "namespace": "shop"}, "addressType": "\(family)",
                 "endpoints": [{"addresses": ["\(address)", "\(good)"]},
                               {"addresses": ["\(good)", "\(address)"]}]}
                """
            )
            #expect(slice.endpoints.map(\.address) == [ip(good)])
            #expect(slice.problems.map(\.field) == ["endpoints[0].addresses[0]"])
        }
    }

    // cilium#35254, #33440; ovn-kubernetes#4066: timeouts of up to a day, not of 65,535 seconds.
    @Test(
        arguments: [
            (1, 1), (65_536, 65_536), (86_400, 86_400), (0, 10_800), (-1, 10_800), (86_401, 10_800),
            (2_147_483_647, 10_800),
        ] as [(Int, UInt32)]
    )
    func `affinity has every timeout that the API allows`(seconds: Int, timeout: UInt32) throws {
        let service = try readJSON(
            Service.self,
            """
            {"metadata": {"name": "web", "namespace": "shop"}, "spec": {"sessionAffinity": "ClientIP",
              "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": \(seconds)}}}}
            """
        )
        #expect(service.affinityTimeout == timeout)
        #expect(service.problems.isEmpty == (seconds == Int(timeout)))
    }
}
