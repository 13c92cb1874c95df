internal import Glibc
internal import NetworkNamespaces
internal import NetworkTypes

extension NetworkChecks {
    /// Whether the pods of the first node are ports of a bridge.
    private var podBridge: String? {
        get throws {
            let node = topology.nodes[0].namespace
            guard let device = try DetectionChecks.podDevice(pod) else { return nil }
            let listed = try node.handle.run(["ip", "-br", "link", "show", "type", "bridge"])
            let names = listed.split(separator: "\n").map { $0.prefix { $0 != " " } }
            return names.contains(device[...]) ? device : nil
        }
    }

    /// A pod reaches a Service whose endpoint is on its own bridge only if `br_netfilter` shows
    /// bridged packets to the rules; everything else works without it.
    ///
    /// The answer of such an endpoint goes straight back, with the endpoint's address.
    func bridgedPackets() throws -> Result {
        guard let bridge = try podBridge else { return .left("pods are not on a bridge") }
        let setting =
            "net/bridge/bridge-nf-call-\(family == .ipv4 ? "iptables" : "ip6tables")"
        guard access("/proc/sys/\(setting)", W_OK) == 0 else {
            return .left("the kernel has no br_netfilter")
        }
        let node = topology.nodes[0].namespace
        let target = try clusterIP(services.near)
        try node.setSysctl(setting, "1")
        let result = try expect(from: pod.namespace, target, services.near.pods, seenAsPod)
        guard case .passed = result else { return result }
        try node.setSysctl(setting, "0")
        defer { try? node.setSysctl(setting, "1") }
        let connection = try WatchedConnection(from: pod.namespace, to: target)
        let expected = services.near.pods.first.flatMap { IPAddress(address($0)) }
        guard case .strayAnswer(let source) = connection.outcome, source == expected else {
            return .failed("\(target) past the rules of \(bridge): \(connection.outcome)")
        }
        return try first([podToOtherNodes, podToItself, fromNode, nodePort, localNodePort]) {
            try $0()
        }
    }
}
