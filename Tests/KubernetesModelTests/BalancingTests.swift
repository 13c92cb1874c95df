import KubernetesModel
import NetworkTypes
import TestSupport
import Testing

@Suite struct BalancingTests {
    private func service(scheduler: String = "", weights: String = "") throws -> Service {
        try readJSON(
            Service.self,
            """
            {"metadata": {"name": "s", "namespace": "n", "annotations": {
              "ipvs.needletail.io/scheduler": "\(scheduler)",
              "ipvs.needletail.io/weights": "\(weights)"}}}
            """
        )
    }

    // net/netfilter/ipvs/Kconfig of Linux 6.12 has these.
    @Test(
        arguments: [
            "rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq",
            "twos",
        ]
    )
    func `every scheduler of the kernel can be asked for`(scheduler: String) throws {
        let service = try service(scheduler: scheduler)
        #expect(service.balancing.scheduler == scheduler && service.problems.isEmpty)
    }

    @Test(arguments: ["RR", "rr ", "ip_vs_rr", "-s rr", "random"])
    func `another word is a problem, and the node's scheduler stays`(scheduler: String) throws {
        let service = try service(scheduler: scheduler)
        #expect(service.balancing.scheduler == nil)
        #expect(
            service.problems.map(\.field)
                == ["metadata.annotations[ipvs.needletail.io/scheduler]"]
        )
    }

    @Test func `an empty annotation is none`() throws {
        let service = try service()
        #expect(service.balancing == Balancing() && service.problems.isEmpty)
    }

    @Test(
        arguments: [
            "a", "a=", "=1", "a=b", "a=-1", "a=65536", "a=1=2", "10.0.0.1=x", " = 1",
        ]
    )
    func `what is no weight is told, and the others count`(entry: String) throws {
        let service = try service(weights: "10.0.0.1=7,\(entry),node-a=0")
        #expect(service.balancing.weights.count == 2)
        #expect(service.problems.count == 1)
        let table = WeightTable(service.balancing)
        #expect(table.weight(of: ip("10.0.0.1"), on: nil) == 7)
        #expect(table.weight(of: ip("10.0.0.2"), on: "node-a") == 0)
    }

    @Test(arguments: 0..<30 as Range<UInt64>)
    func `the first entry that matches counts, however many there are`(seed: UInt64) throws {
        var random = Seeded(seed)
        let addresses = (1...6).map { "10.0.0.\($0)" } + ["fd00::1", "fd00::2"]
        let nodes = ["a", "b", "c"]
        let blocks = ["10.0.0.0/30", "10.0.0.4/31", "10.0.0.0/8", "fd00::/127", "10.0.0.3/32"]
        let entries = (0..<Int.random(in: 0...10, using: &random)).map { _ in
            (
                selector: (addresses + nodes + blocks).randomElement(using: &random) ?? "a",
                weight: UInt16.random(in: 0...9, using: &random)
            )
        }
        let text = entries.map { "\($0.selector) = \($0.weight)" }.joined(separator: " , ")
        let table = WeightTable(try service(weights: text).balancing)
        for address in addresses.map(ip) {
            for node in nodes.map(Optional.some) + [nil] {
                let first = entries.first { entry in
                    if let block = IPPrefix(entry.selector) { return block.contains(address) }
                    if let single = IPAddress(entry.selector) { return single == address }
                    return entry.selector == node
                }
                #expect(table.weight(of: address, on: node) == first?.weight ?? 1, "\(text)")
            }
        }
    }

    @Test func `blocks have a limit, single addresses and nodes have none`() throws {
        let many = (0..<200).map { "10.0.\($0).1=2,node-\($0)=3" }.joined(separator: ",")
        let blocks = (0..<64).map { "172.16.\($0).0/24=4" }.joined(separator: ",")
        let service = try service(weights: "\(many),\(blocks),10.9.0.0/16=5")
        #expect(service.balancing.weights.count == 464)
        #expect(service.problems.count == 1)
        #expect(WeightTable(service.balancing).weight(of: ip("10.9.0.1"), on: nil) == 1)
    }
}

@Suite struct KubernetesObjectsTests {
    private func kinds(_ text: String) throws -> [String] {
        try readJSON(KubernetesObjects.self, text).objects.map { object in
            switch object {
            case .service(let service): "Service \(service.name)"
            case .endpointSlice(let slice): "EndpointSlice \(slice.name)"
            case .endpoints(let endpoints): "Endpoints \(endpoints.name)"
            case .node(let node): "Node \(node.name)"
            case .serviceCIDR(let cidr): "ServiceCIDR \(cidr.name)"
            }
        }
    }

    private let metadata = #""metadata": {"name": "a", "namespace": "n"}"#

    // Each kind is in its API group alone.
    @Test(
        arguments: [
            ("v1", "Service", "Service n/a"), ("v1", "Endpoints", "Endpoints n/a"),
            ("v1", "Node", "Node a"), ("discovery.k8s.io/v1", "EndpointSlice", "EndpointSlice n/a"),
            ("networking.k8s.io/v1", "ServiceCIDR", "ServiceCIDR a"),
        ]
    )
    func `a kind is read in its group and version`(version: String, kind: String, name: String)
        throws
    {
        let object = #"{"apiVersion": "\#(version)", "kind": "\#(kind)", \#(metadata)}"#
        #expect(try kinds(object) == [name])
        let other = #"{"apiVersion": "example.com/v1", "kind": "\#(kind)", \#(metadata)}"#
        #expect(try kinds(other).isEmpty)
        // A list of one kind has it for all of its items.
        let list =
            #"{"apiVersion": "\#(version)", "kind": "\#(kind)List", "items": [{\#(metadata)}]}"#
        #expect(try kinds(list) == [name])
    }

    @Test func `lists may hold lists, and nothing`() throws {
        let service = #"{"apiVersion": "v1", "kind": "Service", \#(metadata)}"#
        let list = #"{"apiVersion": "v1", "kind": "List", "items": [\#(service), \#(service)]}"#
        #expect(
            try kinds(#"{"apiVersion": "v1", "kind": "List", "items": [\#(list), \#(service)]}"#)
                .count == 3
        )
        for items in ["", #", "items": null"#, #", "items": []"#] {
            #expect(try kinds(#"{"apiVersion": "v1", "kind": "List"\#(items)}"#).isEmpty)
        }
    }

    @Test(
        arguments: [
            (#"{"apiVersion": "v1", "kind": "List", "items": [{"kind": ""}]}"#, "items[0].kind"),
            (#"{"apiVersion": "v1", "kind": "List", "items": {}}"#, "items"),
            (#"{"apiVersion": "v1", "kind": 5}"#, "kind"),
            (#"{"apiVersion": "v1", "kind": "Service", "metadata": {}}"#, "metadata.name"),
            (#"{"apiVersion": "v1", "kind": "Service", "metadata": []}"#, "metadata"),
            (
                #"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "labels": {"x": 1}}}"#,
                "metadata.labels.x"
            ),
        ]
    )
    func `what cannot be read is told with its path`(text: String, field: String) {
        let error = #expect(throws: DecodingError.self) { _ = try kinds(text) }
        #expect(error?.fieldProblem.field == field)
    }
}
