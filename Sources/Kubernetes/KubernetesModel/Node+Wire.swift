package import KubernetesWire
internal import NetworkTypes

extension Node: KubernetesResource {
    package init(_ wire: WireNode) throws(FieldProblem) {
        self.init(name: try ObjectName(wire.metadata).name)
        var reader = FieldReader()
        zone = wire.metadata.label("topology.kubernetes.io/zone")?.text
        isLeaving =
            wire.metadata.deletionTimestamp.seconds != 0
            || wire.spec.taints.contains { $0.key.text == "ToBeDeletedByClusterAutoscaler" }
        let single = wire.spec.podCidr
        let texts = wire.spec.podCidrs.isEmpty && !single.isEmpty ? [single] : wire.spec.podCidrs
        podCIDRs = texts.compactMapIndexed { index, text in
            text.isEmpty ? nil : reader.prefix(text, "spec.podCIDRs[\(index)]")
        }
        var external: [IPAddress] = []
        for (index, entry) in wire.status.addresses.enumerated() {
            let type = entry.type.text
            guard type == "InternalIP" || type == "ExternalIP",
                let address = reader.address(entry.address, "status.addresses[\(index)].address")
            else { continue }
            if type == "InternalIP" {
                addresses.append(address)
            } else {
                external.append(address)
            }
        }
        addresses += external
        problems = reader.problems
    }
}

extension ServiceCIDR: KubernetesResource {
    package init(_ wire: WireServiceCIDR) throws(FieldProblem) {
        self.init(name: try ObjectName(wire.metadata).name)
        var reader = FieldReader()
        cidrs = wire.spec.cidrs.compactMapIndexed { index, text in
            reader.prefix(text, "spec.cidrs[\(index)]")
        }
        problems = reader.problems
    }
}
