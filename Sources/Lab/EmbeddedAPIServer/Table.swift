internal import FoundationEssentials

/// Objects in the table form that `kubectl get` shows (`meta/v1.Table`).
enum Table {
    static func json(_ objects: [ObjectStore.Stored], version: Int64? = nil) -> [UInt8] {
        let columns = objects.first.map { Self.columns($0.kind.kind) } ?? []
        let head = ["Name"] + columns.map(\.name) + ["Age"]
        var table: JSONValue = [
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": [:],
            "columnDefinitions": .array(
                head.map {
                    [
                        "name": .string($0), "type": "string", "priority": 0,
                        "format": $0 == "Name" ? "name" : "", "description": "",
                    ]
                }
            ),
            "rows": .array(objects.map { row($0.object, columns) }),
        ]
        if let version { table["metadata"]["resourceVersion"] = .string("\(version)") }
        return (try? Array(JSONEncoder.api.encode(table))) ?? []
    }

    private struct Column {
        let name: String
        let value: (JSONValue) -> String?
    }

    private static func row(_ object: JSONValue, _ columns: [Column]) -> JSONValue {
        let cells =
            [object["metadata"]["name"].string ?? ""]
            + columns.map { $0.value(object).flatMap { $0.isEmpty ? nil : $0 } ?? "<none>" }
            + [age(object["metadata"]["creationTimestamp"].string)]
        return [
            "cells": .array(cells.map(JSONValue.string)),
            "object": [
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": object["metadata"],
            ],
        ]
    }

    private static func columns(_ kind: String) -> [Column] {
        switch kind {
        case "Service":
            [
                Column(name: "Type") { $0["spec"]["type"].string },
                Column(name: "Cluster-IP") { $0["spec"]["clusterIP"].string },
                Column(name: "External-IP") { service in
                    let ingress = service["status"]["loadBalancer"]["ingress"].array ?? []
                    let external = service["spec"]["externalIPs"].array ?? []
                    return joined(external.map(\.text) + ingress.map { $0["ip"].text })
                },
                Column(name: "Port(s)") { service in
                    joined(
                        service["spec"]["ports"].array?.map { port in
                            let node = port["nodePort"].text.map { ":\($0)" } ?? ""
                            return
                                "\(port["port"].text ?? "")\(node)/\(port["protocol"].text ?? "")"
                        }
                    )
                },
            ]
        case "EndpointSlice":
            [
                Column(name: "AddressType") { $0["addressType"].string },
                Column(name: "Ports") { joined($0["ports"].array?.map { $0["port"].text }) },
                Column(name: "Endpoints") {
                    joined(
                        $0["endpoints"].array?.flatMap { $0["addresses"].array ?? [] }.map(\.text)
                    )
                },
            ]
        case "Endpoints":
            [
                Column(name: "Endpoints") {
                    joined(
                        $0["subsets"].array?.flatMap { $0["addresses"].array ?? [] }.map {
                            $0["ip"].text
                        }
                    )
                }
            ]
        case "ServiceCIDR":
            [Column(name: "CIDRs") { joined($0["spec"]["cidrs"].array?.map(\.text)) }]
        case "Event":
            [
                Column(name: "Type") { $0["type"].string },
                Column(name: "Reason") { $0["reason"].string },
                Column(name: "Note") { $0["note"].string },
            ]
        default: []
        }
    }

    private static func joined(_ values: [String?]?) -> String {
        (values ?? []).compactMap(\.self).joined(separator: ",")
    }

    private static func age(_ timestamp: String?) -> String {
        guard let timestamp, let date = try? Date(timestamp, strategy: .iso8601) else {
            return "<unknown>"
        }
        let seconds = Int(-date.timeIntervalSinceNow)
        return seconds < 120
            ? "\(seconds)s" : seconds < 7200 ? "\(seconds / 60)m" : "\(seconds / 3600)h"
    }
}
