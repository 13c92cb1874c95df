import NetworkTypes
import Testing

@testable import needletail_lab

/// The descriptions of pod networks; `make networks` builds them and sends packets.
@Suite struct LabNetworkTests {
    private func topology(_ kind: NetworkKind, nodes: Int = 3) -> Topology {
        Topology(ClusterLayout(nodeCount: nodes), kind: kind, directory: "/nowhere")
    }

    private func configuration(_ node: Int, hasReflector: Bool) -> String {
        let nodes = topology(.calicoRouted).nodes
        return BGPRoutes(directory: "/nowhere", hasReflector: hasReflector)
            .configuration(of: nodes[node], nodes.filter { $0.index != node + 1 })
    }

    @Test func `pods are shared out in turn, and no address is used twice`() {
        for kind in NetworkKind.allCases {
            let topology = topology(kind)
            #expect(topology.pods.map(\.node.index) == [1, 2, 3, 1, 2, 3])
            let addresses =
                topology.nodes.flatMap { [$0.address, $0.address6, $0.podGateway, $0.podGateway6] }
                + topology.pods.flatMap { [$0.address, $0.address6] }
            #expect(Set(addresses).count == addresses.count, "\(kind)")
            #expect(addresses.allSatisfy { IPAddress($0)?.description == $0 }, "\(kind)")
        }
    }

    @Test func `pods are in their node's blocks, and blocks in the cluster's`() throws {
        let topology = topology(.bridge, nodes: 9)
        let cluster = try [Topology.clusterCIDR, Topology.clusterCIDR6]
            .map { try #require(IPPrefix($0)) }
        for pod in topology.pods {
            let blocks = try [pod.node.podCIDR, pod.node.podCIDR6]
                .map { try #require(IPPrefix($0)) }
            for (index, text) in [pod.address, pod.address6].enumerated() {
                let address = try #require(IPAddress(text))
                #expect(blocks[index].contains(address) && cluster[index].contains(address))
            }
        }
    }

    @Test func `only direct routing has a node on the other segment`() {
        for kind in NetworkKind.allCases {
            let far = topology(kind).nodes.filter { $0.segment == 1 }.map(\.index)
            #expect(far == (kind == .flannelDirectRouting ? [3] : []), "\(kind)")
        }
    }

    @Test func `an overlay's pods have room for its headers`() {
        #expect(NetworkKind.flannelVXLAN.overlayMTU == 1450)
        #expect(NetworkKind.flannelUDP.overlayMTU == 1472)
        #expect(NetworkKind.calicoIPIP.overlayMTU == 1480)
        #expect(NetworkKind.wireguard.overlayMTU == 1420)
        #expect(NetworkKind.calicoRouted.overlayMTU == nil)
    }

    // MARK: BGP

    @Test func `in a full mesh every node speaks to every other one`() {
        for node in 0..<3 {
            let text = configuration(node, hasReflector: false)
            let others = (1...3).filter { $0 != node + 1 }
            for other in others {
                #expect(text.contains("protocol bgp node\(other)_ipv4"))
                #expect(text.contains("protocol bgp node\(other)_ipv6"))
            }
            #expect(!text.contains("bgp node\(node + 1)_") && !text.contains("rr client"))
            #expect(text.contains("route 10.244.\(node + 1).0/24 blackhole"))
        }
    }

    @Test func `with a reflector the others speak to it alone`() {
        let reflector = configuration(0, hasReflector: true)
        #expect(reflector.components(of: "rr client") == 4)
        #expect(reflector.contains("source = RTS_STATIC || source = RTS_BGP"))
        for node in 1..<3 {
            let text = configuration(node, hasReflector: true)
            #expect(text.components(of: "protocol bgp") == 2 && text.contains("bgp node1_ipv4"))
            #expect(!text.contains("rr client") && !text.contains("|| source"))
        }
    }

    // MARK: Services and results

    @Test func `the Services of a check have endpoints where it says`() {
        let topology = topology(.bridge)
        let services = NetworkServices(topology)
        #expect(services.own.pods.map(\.name) == ["web-1"])
        #expect(services.near.pods.map(\.name) == ["web-4"])
        #expect(services.far.map { $0.pods.map(\.node.index) } == [[2], [3]])
        let entries = [services.all, services.local, services.sticky, services.own, services.near]
        // Each has three node ports.
        let ports = (entries + services.far).flatMap { [$0.nodePort, $0.nodePort + 2] }
        #expect(Set(ports).count == ports.count && ports.allSatisfy { 30_000...32_767 ~= $0 })
        #expect(services.objects.count == 8 * 3 && services.loadBalancers.count == 8)
    }

    @Test func `the table has a row for each network, and counts what failed`() {
        var table = NetworkTable()
        table.add("bridge, nftables, IPv4", .passed)
        table.add("bridge, nftables, IPv4", .failed("no answer"))
        table.add("bridge, nftables, IPv6", .left("no such thing"))
        table.lacks.append(("calico-ipip", "the kernel has no IPIP"))
        #expect(table.failures == 1)
        #expect(table.summary("bridge, nftables, IPv4") == "1 passed, 1 failed")
        let lines = table.text.split(separator: "\n").map(String.init)
        #expect(lines[2] == "| bridge, nftables, IPv4 | ✓ | ✗ |")
        #expect(lines[3] == "| bridge, nftables, IPv6 | a |")
        #expect(lines.contains("- a: no such thing"))
        #expect(lines.contains("1. pod → Service, same node"))
        #expect(lines.last == "calico-ipip: the kernel has no IPIP")
    }
}

extension String {
    fileprivate func components(of part: String) -> Int {
        ranges(of: part).count
    }
}
