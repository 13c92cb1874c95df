internal import EmbeddedAPIServer
internal import KubernetesModel
internal import NetworkTypes
internal import YAML

/// A Kubernetes object in a lab's file, or in a file that it names.
struct LabManifest {
    let part: LabFilePart
    let object: JSONValue

    var kind: String { object["kind"].string ?? "" }
    var name: String { object["metadata"]["name"].string ?? "" }

    private static let specKeys = [
        "allocateLoadBalancerNodePorts", "clusterIP", "clusterIPs", "externalIPs", "externalName",
        "externalTrafficPolicy", "healthCheckNodePort", "internalTrafficPolicy", "ipFamilies",
        "ipFamilyPolicy", "loadBalancerClass", "loadBalancerIP", "loadBalancerSourceRanges",
        "ports", "publishNotReadyAddresses", "selector", "sessionAffinity",
        "sessionAffinityConfig", "trafficDistribution", "type",
    ]
    private static let portKeys = [
        "appProtocol", "name", "nodePort", "port", "protocol", "targetPort",
    ]
    /// The labels that pods of a lab have: their names without the number at the end.
    private static let labels = ["app", "app.kubernetes.io/name"]

    /// Returns the object of a part, or those of a List.
    static func all(in part: LabFilePart) throws(LabFileError) -> [LabManifest] {
        guard part.node.mapping != nil, let kind = part.node["kind"]?.text else {
            throw part.failure("is no Kubernetes object: it has no kind")
        }
        guard kind.hasSuffix("List") else { return [try LabManifest(part)] }
        guard let items = part["items"] else { return [] }
        var manifests: [LabManifest] = []
        for item in try items.list() { manifests += try all(in: item) }
        return manifests
    }

    private init(_ part: LabFilePart) throws(LabFileError) {
        self.part = part
        var object = JSONValue.null
        do {
            object = try YAMLDecoder().decode(JSONValue.self, from: part.node)
            let objects = try YAMLDecoder().decode(KubernetesObjects.self, from: part.node)
            for case .service(let service) in objects.objects {
                if let problem = service.problems.first { throw problem }
            }
        } catch let error as DecodingError {
            throw part.failure(error.fieldProblem)
        } catch let error as FieldProblem {
            throw part.failure(error)
        } catch {
            throw part.failure("\(error)")
        }
        if object["metadata"]["namespace"] == .null {
            object["metadata"]["namespace"] = .string(ServiceObjects.namespace)
        }
        self.object = object
        if kind == "Service" { try refuseUnknownKeys() }
    }

    private func refuseUnknownKeys() throws(LabFileError) {
        _ = try part.fields(["apiVersion", "kind", "metadata", "spec", "status"])
        guard let spec = part["spec"] else { throw part.failure("has no spec") }
        let fields = try spec.fields(Self.specKeys)
        for port in try fields["ports"]?.list() ?? [] { _ = try port.fields(Self.portKeys) }
    }

    /// Returns the Service with what it lacks, and the pods that its selector picks.
    func service(
        _ addresses: ServiceAddresses,
        _ families: [IPFamily],
        _ layout: ClusterLayout
    ) throws(LabFileError) -> DescribedService {
        let said = object["spec"]["ipFamilies"].array?.compactMap(\.string)
        let families = families.filter { said?.contains("\($0)") ?? true }
        let service = addresses.complete(object, families)
        let endpoints = try endpoints(layout)
        let ports = service["spec"]["ports"].array ?? []
        return DescribedService(
            object: service,
            families: families,
            endpoints: endpoints ?? [],
            endpointPorts: endpoints == nil
                ? .null
                : .array(
                    ports.map { port in
                        // The lab's pods stand for those of the manifest, whatever port these have.
                        var port = port
                        port["targetPort"] = .null
                        return ServiceObjects.endpointPort(port)
                    }
                )
        )
    }

    /// The pods that the selector picks; nil without one.
    private func endpoints(_ layout: ClusterLayout) throws(LabFileError) -> [String]? {
        guard let selector = part["spec"]?["selector"] else { return nil }
        let fields = try selector.fields(Self.labels)
        var pods = layout.pods.map(\.name)
        for label in Self.labels {
            guard let part = fields[label] else { continue }
            let value = try part.text()
            let groups = Set(layout.pods.map { Self.group(of: $0.name) })
            guard groups.contains(value) else {
                throw part.unknown(value, "group of pods", groups.sorted())
            }
            pods = pods.filter { Self.group(of: $0) == value }
        }
        return pods
    }

    private static func group(of pod: String) -> String {
        guard let hyphen = pod.lastIndex(of: "-"),
            pod[hyphen...].dropFirst().allSatisfy(\.isNumber)
        else { return pod }
        return String(pod[..<hyphen])
    }
}

extension LabFilePart {
    /// Returns a part of a mapping.
    fileprivate subscript(key: String) -> LabFilePart? {
        node[key].map { child(key, $0) }
    }

    /// Makes the error about a field of an object, on the line of the nearest part that exists.
    fileprivate func failure(_ problem: FieldProblem) -> LabFileError {
        var found = node
        for step in problem.field.split(whereSeparator: { ".[]".contains($0) }) {
            guard let next = Int(step).flatMap({ found[$0] }) ?? found[String(step)] else { break }
            found = next
        }
        let place = [path, problem.field].filter { !$0.isEmpty }.joined(separator: ".")
        return LabFileError(file: file, line: found.line, path: place, reason: problem.reason)
    }
}
