internal import EmbeddedAPIServer
internal import NetworkTypes
internal import YAML

/// Reads the Services of a lab's file.
struct ServiceReader {
    let layout: ClusterLayout
    let families: [IPFamily]
    private var services = DescribedServices(isSample: false)
    /// What has each node port.
    private var nodePorts: [Int64: String] = [:]

    private enum Kind: String, CaseIterable {
        case clusterIP = "ClusterIP"
        case nodePort = "NodePort"
        case loadBalancer = "LoadBalancer"
    }
    private enum Policy: String, CaseIterable { case cluster = "Cluster", local = "Local" }
    private enum Affinity: String, CaseIterable { case none = "None", clientIP = "ClientIP" }
    private enum PortProtocol: String, CaseIterable { case tcp = "TCP", udp = "UDP" }

    private static let keys = [
        "name", "type", "port", "protocol", "nodePort", "targetPort", "ports",
        "externalTrafficPolicy", "internalTrafficPolicy", "sessionAffinity", "endpoints",
    ]
    private static let portKeys = ["name", "port", "protocol", "nodePort", "targetPort"]
    private static let allPorts = 1...65_535
    private static let nodePortRange = 30_000...32_767

    init(layout: ClusterLayout, families: [IPFamily]) {
        (self.layout, self.families) = (layout, families)
    }

    mutating func services(_ part: LabFilePart) throws(LabFileError) -> DescribedServices {
        for item in try part.list() {
            let keys = item.node.mapping?.map(\.key) ?? []
            if keys.contains("file") {
                try addFile(item)
            } else if keys.contains("kind") || keys.contains("apiVersion") {
                try addManifest(item, isInline: true)
            } else {
                try add(try short(item), item)
            }
        }
        return services
    }

    private mutating func add(
        _ service: DescribedService,
        _ part: LabFilePart
    ) throws(LabFileError) {
        let isKnown = services.list.contains {
            $0.name == service.name && $0.namespace == service.namespace
        }
        guard !isKnown else {
            throw part.failure("\(service.namespace)/\(service.name) is there twice")
        }
        guard services.list.count < ServiceAddresses.mostServices else {
            throw part.failure("a lab has at most \(ServiceAddresses.mostServices) Services")
        }
        for port in service.object["spec"]["ports"].array ?? [] {
            guard let number = port["nodePort"].integer else { continue }
            if let other = nodePorts[number] {
                throw part.failure("node port \(number) is \(other)'s, too; choose another one")
            }
            nodePorts[number] = service.name
        }
        services.list.append(service)
    }

    private var addresses: ServiceAddresses { ServiceAddresses(position: services.list.count) }

    // MARK: Manifests

    private mutating func addFile(_ part: LabFilePart) throws(LabFileError) {
        let fields = try part.fields(["file"])
        guard let path = fields["file"] else { throw part.failure("names no file") }
        let name = try path.text()
        let folder = part.file.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        let file = name.hasPrefix("/") ? name : (folder + [name[...]]).joined(separator: "/")
        for document in try LabFileReader.documents(in: try LabFileReader.text(of: file), file) {
            try addManifest(document, isInline: false)
        }
    }

    private mutating func addManifest(
        _ part: LabFilePart,
        isInline: Bool
    ) throws(LabFileError) {
        for manifest in try LabManifest.all(in: part) {
            switch manifest.kind {
            case "Service":
                try add(try manifest.service(addresses, families, layout), manifest.part)
            case "EndpointSlice": services.slices.append(manifest.object)
            case _ where isInline:
                throw manifest.part.failure(
                    "a lab has no use for \(manifest.kind). Allowed: Service, EndpointSlice, List"
                )
            default: services.leftOut.append("\(manifest.kind) \(manifest.name)")
            }
        }
    }

    // MARK: The short form

    private func short(_ part: LabFilePart) throws(LabFileError) -> DescribedService {
        let fields = try part.fields(Self.keys)
        guard let namePart = fields["name"] else { throw part.failure("has no name") }
        let name = try namePart.name(longest: 63)
        var spec: [String: JSONValue] = [:]
        let kind = try fields["type"]?.word(Kind.self) ?? .clusterIP
        spec["type"] = .string(kind.rawValue)
        for key in ["externalTrafficPolicy", "internalTrafficPolicy"] {
            if let policy = fields[key] {
                spec[key] = .string(try policy.word(Policy.self).rawValue)
            }
        }
        if kind == .clusterIP, let policy = fields["externalTrafficPolicy"] {
            throw policy.failure("needs type NodePort or LoadBalancer")
        }
        if let affinity = fields["sessionAffinity"] {
            spec["sessionAffinity"] = .string(try affinity.word(Affinity.self).rawValue)
        }
        let ports = try ports(part, fields, kind)
        spec["ports"] = .array(ports)
        let object = ServiceObjects.service(name, .object(spec))
        return DescribedService(
            object: addresses.complete(object, families),
            families: families,
            endpoints: try endpoints(fields["endpoints"]),
            endpointPorts: .array(ports.map(ServiceObjects.endpointPort))
        )
    }

    private func ports(
        _ part: LabFilePart,
        _ fields: [String: LabFilePart],
        _ kind: Kind
    ) throws(LabFileError) -> [JSONValue] {
        guard let list = fields["ports"] else {
            guard fields["port"] != nil else { throw part.failure("has neither port nor ports") }
            return [try port(part, fields, kind)]
        }
        for key in Self.portKeys.dropFirst() {
            if let other = fields[key] { throw other.failure("belongs to an entry of ports") }
        }
        var ports: [JSONValue] = []
        for item in try list.list() {
            let fields = try item.fields(Self.portKeys)
            guard fields["port"] != nil else { throw item.failure("has no port") }
            guard let name = fields["name"] else { throw item.failure("has no name") }
            var entry = try port(item, fields, kind)
            entry["name"] = .string(try name.name(longest: 15))
            guard !ports.contains(where: { $0["name"] == entry["name"] }) else {
                throw name.failure("is another port's name, too")
            }
            ports.append(entry)
        }
        guard !ports.isEmpty else { throw list.failure("is empty; a Service needs a port") }
        return ports
    }

    private func port(
        _ part: LabFilePart,
        _ fields: [String: LabFilePart],
        _ kind: Kind
    ) throws(LabFileError) -> JSONValue {
        let transport = try fields["protocol"]?.word(PortProtocol.self) ?? .tcp
        let number = try fields["port"]?.integer(in: Self.allPorts) ?? 0
        var target = Int(
            transport == .tcp ? ServiceObjects.podPort : ServiceObjects.podUDPPort
        )
        if let part = fields["targetPort"] {
            target = try part.integer(in: Self.allPorts)
            let answering =
                transport == .tcp
                ? [ServiceObjects.podPort, ServiceObjects.podBulkPort] : [ServiceObjects.podUDPPort]
            guard answering.contains(UInt16(target)) else {
                throw part.failure(
                    "\(target)/\(transport.rawValue) is nothing on which pods of a lab answer. "
                        + "Allowed: \(answering.map { "\($0)" }.joined(separator: ", "))"
                )
            }
        }
        var port: JSONValue = [
            "protocol": .string(transport.rawValue), "port": .integer(Int64(number)),
            "targetPort": .integer(Int64(target)),
        ]
        if let part = fields["nodePort"] {
            guard kind != .clusterIP else {
                throw part.failure("needs type NodePort or LoadBalancer")
            }
            port["nodePort"] = .integer(Int64(try part.integer(in: Self.nodePortRange)))
        }
        return port
    }

    /// Reads the names of pods, of which a last `*` stands for any end.
    private func endpoints(_ part: LabFilePart?) throws(LabFileError) -> [String] {
        let pods = layout.pods.map(\.name)
        guard let part else { return pods.filter { $0 != layout.ingress } }
        var endpoints: [String] = []
        for item in try part.list() {
            let text = try item.text()
            let found = pods.filter {
                text.hasSuffix("*") ? $0.hasPrefix(text.dropLast()) : $0 == text
            }
            guard !found.isEmpty else { throw item.unknown(text, "pod", pods) }
            endpoints += found.filter { !endpoints.contains($0) }
        }
        return endpoints
    }
}
