internal import NetworkTypes

extension Node: Decodable {
    package init(from decoder: any Decoder) throws {
        let object = try decoder.container(keyedBy: Field.self)
        self.init(name: try ObjectName(of: object).name)
        var reader = FieldReader()
        zone = try object.nested("metadata")?.label("topology.kubernetes.io/zone")
        if let spec = try object.nested("spec") {
            var texts: [String] = try spec.value("podCIDRs") ?? []
            if texts.isEmpty, let single: String = try spec.value("podCIDR") { texts = [single] }
            podCIDRs = texts.enumerated().compactMap { index, text in
                text.isEmpty ? nil : reader.prefix(text, "spec.podCIDRs[\(index)]")
            }
        }
        var external: [IPAddress] = []
        try object.nested("status")?.forEachObject(in: "addresses") { index, entry in
            let type: String = try entry.value("type") ?? ""
            guard type == "InternalIP" || type == "ExternalIP" else { return }
            let text: String = try entry.value("address") ?? ""
            guard let address = reader.address(text, "status.addresses[\(index)].address")
            else { return }
            if type == "InternalIP" { addresses.append(address) } else { external.append(address) }
        }
        addresses += external
        problems = reader.problems
    }
}

extension ServiceCIDR: Decodable {
    package init(from decoder: any Decoder) throws {
        let object = try decoder.container(keyedBy: Field.self)
        self.init(name: try ObjectName(of: object).name)
        var reader = FieldReader()
        let texts: [String] = try object.nested("spec")?.value("cidrs") ?? []
        cidrs = texts.enumerated().compactMap { index, text in
            reader.prefix(text, "spec.cidrs[\(index)]")
        }
        problems = reader.problems
    }
}
