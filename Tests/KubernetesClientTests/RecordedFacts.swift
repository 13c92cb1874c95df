import EmbeddedAPIServer
import FoundationEssentials
@testable import KubernetesClient
import KubernetesModel
import NetworkTypes
import TestSupport

/// The facts about the recordings in `Tests/Fixtures/apiserver/EXPECTED.json`.
struct Recordings {
    let fixtures: [String: JSONValue]
    let negative: [String: JSONValue]
    private let objects: [String: JSONValue]

    static let all: Recordings = {
        do {
            return try Recordings()
        } catch {
            fatalError("EXPECTED.json: \(error)")
        }
    }()

    private init() throws {
        let data = try Fixture.data("Fixtures/apiserver/EXPECTED.json")
        let expected = try JSONDecoder().decode(JSONValue.self, from: data)
        fixtures = expected["fixtures"].members ?? [:]
        negative = expected["negative"].members ?? [:]
        var objects: [String: JSONValue] = [:]
        Self.collect(expected["fixtures"], into: &objects)
        self.objects = objects
    }

    static func bytes(_ name: String) throws -> [UInt8] {
        Array(try Fixture.data("Fixtures/apiserver/\(name)"))
    }

    /// Returns the facts of a fixture; a protobuf body has those of its JSON twin.
    func facts(_ name: String) -> JSONValue {
        let facts = fixtures[name] ?? .null
        return facts["sameFactsAs"].string.map { fixtures[$0] ?? .null } ?? facts
    }

    /// Returns the object that a reference points to, or the object itself.
    func resolved(_ object: JSONValue) -> JSONValue {
        object["ref"].string.map { objects[$0] ?? .null } ?? object
    }

    private static func collect(_ value: JSONValue, into objects: inout [String: JSONValue]) {
        for element in value.array ?? [] { collect(element, into: &objects) }
        for member in value.members ?? [:] { collect(member.value, into: &objects) }
        guard let kind = value["kind"].string, let name = value["name"].string,
            let version = value["resourceVersion"].string
        else { return }
        objects["\(kind)/\(value["namespace"].string ?? "")/\(name)@\(version)"] = value
    }
}

/// An object whose facts are one text each, so that a difference is easy to see.
protocol HasFacts: Resource {
    var facts: [String] { get }
    static func facts(_ expected: JSONValue) -> [String]
}

extension JSONValue {
    fileprivate func texts(_ field: String) -> [String] {
        self[field].array?.compactMap(\.string) ?? []
    }
}

extension Service: HasFacts {
    var facts: [String] {
        [
            "name \(name)", "type \(type.rawValue)", "created \(createdAt ?? 0)",
            "ips \(clusterIPs)", "external \(externalIPs)", "vips \(loadBalancerVIPs)",
            "ranges \(loadBalancerSourceRanges ?? [])", "affinity \(affinityTimeout ?? 0)",
            "internal \(internalTrafficPolicy.rawValue)",
            "traffic \(externalTrafficPolicy.rawValue)", "other proxy \(belongsToOtherProxy)",
        ] + ports.map { "port \($0.name) \($0.transport) \($0.port) \($0.nodePort ?? 0)" }
    }

    static func facts(_ expected: JSONValue) -> [String] {
        let created = expected["creationTimestamp"].string.flatMap {
            try? Date($0, strategy: .iso8601)
        }
        let vips = (expected["loadBalancerIngress"].array ?? [])
            .filter { $0["ipMode"].string ?? "VIP" == "VIP" }.compactMap { $0["ip"].string }
        let other = "service.kubernetes.io/service-proxy-name"
        let addresses = { (field: String) in
            expected.texts(field).filter { $0 != "None" }.compactMap { IPAddress($0) }
        }
        let ranges = expected.texts("loadBalancerSourceRanges").compactMap { IPPrefix($0) }
        let head = [
            "name \(expected["namespace"].string ?? "")/\(expected["name"].string ?? "")",
            "type \(expected["type"].string ?? "")",
            "created \(Int64(created?.timeIntervalSince1970 ?? 0))",
            "ips \(addresses("clusterIPs"))", "external \(addresses("externalIPs"))",
            "vips \(vips.compactMap { IPAddress($0) })", "ranges \(ranges)",
            "affinity \(expected["sessionAffinityTimeoutSeconds"].integer ?? 0)",
            "internal \(expected["internalTrafficPolicy"].string ?? "Cluster")",
            "traffic \(expected["externalTrafficPolicy"].string ?? "Cluster")",
            "other proxy \(expected["labels"][other] != .null)",
        ]
        return head
            + (expected["ports"].array ?? []).map { port in
                let name = port["name"].string ?? ""
                let transport = port["protocol"].string?.lowercased() ?? ""
                return
                    "port \(name) \(transport) \(port["port"].integer ?? 0) \(port["nodePort"].integer ?? 0)"
            }
    }
}

extension EndpointSlice: HasFacts {
    var facts: [String] {
        let head = ["name \(name)", "service \(service?.name ?? "")"]
        let texts = endpoints.map { endpoint in
            """
            endpoint \(endpoint.address) \(endpoint.isReady) \(endpoint.isServing) \
            \(endpoint.isTerminating) \(endpoint.place.nodeName ?? "") \(endpoint.place.zoneHints) \
            \(endpoint.place.nodeHints)
            """
        }
        return head + ports.map { "port \($0.name) \($0.transport) \($0.port)" }
            + (texts.count < 1000 ? texts : [texts[0], "of \(texts.count)", texts[999]])
    }

    static func facts(_ expected: JSONValue) -> [String] {
        let labels = expected["labels"]
        let isHeadless = labels["service.kubernetes.io/headless"] != .null
        let service = isHeadless ? nil : labels["kubernetes.io/service-name"].string
        let head = [
            "name \(expected["namespace"].string ?? "")/\(expected["name"].string ?? "")",
            "service \(service ?? "")",
        ]
        guard expected["addressType"] != "FQDN" else { return head }
        let ports = (expected["ports"].array ?? []).filter { $0["port"] != .null }.map { port in
            """
            port \(port["name"].string ?? "") \(port["protocol"].string?.lowercased() ?? "") \
            \(port["port"].integer ?? 0)
            """
        }
        // If there are very many endpoints, only the first and the last are listed.
        guard let count = expected["endpointCount"].integer else {
            return head + ports + (expected["endpoints"].array ?? []).map(endpointFact)
        }
        let endpoints = expected["endpoints"]
        return head + ports
            + [endpointFact(endpoints["first"]), "of \(count)", endpointFact(endpoints["last"])]
    }

    private static func endpointFact(_ endpoint: JSONValue) -> String {
        let conditions = endpoint["conditions"]
        let isReady = conditions["ready"] != false
        let isServing = conditions["serving"] == .null ? isReady : conditions["serving"] == true
        return """
            endpoint \(endpoint.texts("addresses").first ?? "") \(isReady) \(isServing) \
            \(conditions["terminating"] == true) \(endpoint["nodeName"].string ?? "") \
            \(endpoint["hints"].hintNames("forZones")) \(endpoint["hints"].hintNames("forNodes"))
            """
    }
}

extension JSONValue {
    fileprivate func hintNames(_ field: String) -> [String] {
        self[field].array?.compactMap { $0.string ?? $0["name"].string } ?? []
    }
}

extension Node: HasFacts {
    var facts: [String] {
        ["name \(name)", "zone \(zone ?? "")", "pods \(podCIDRs)", "addresses \(addresses)"]
    }

    static func facts(_ expected: JSONValue) -> [String] {
        let addresses = ["InternalIP", "ExternalIP"].flatMap { type in
            (expected["nodeAddresses"].array ?? []).filter { $0["type"].string == type }
                .compactMap { $0["address"].string.flatMap { IPAddress($0) } }
        }
        return [
            "name \(expected["name"].string ?? "")",
            "zone \(expected["labels"]["topology.kubernetes.io/zone"].string ?? "")",
            "pods \(expected.texts("podCIDRs").compactMap { IPPrefix($0) })",
            "addresses \(addresses)",
        ]
    }
}

extension ServiceCIDR: HasFacts {
    var facts: [String] { ["name \(name)", "cidrs \(cidrs)"] }

    static func facts(_ expected: JSONValue) -> [String] {
        [
            "name \(expected["name"].string ?? "")",
            "cidrs \(expected.texts("cidrs").compactMap { IPPrefix($0) })",
        ]
    }
}
