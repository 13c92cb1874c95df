internal import KubernetesWire
internal import SwiftProtobuf

/// A refusal in the API's own words.
struct APIStatus: Error, Sendable {
    var code: Int
    var reason: String
    var message: String
    var details: JSONValue = .null
    var continueToken: String?

    var json: JSONValue {
        var value: JSONValue = [
            "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure",
            "message": .string(message), "reason": .string(reason),
            "code": .integer(Int64(code)),
        ]
        if let continueToken { value["metadata"]["continue"] = .string(continueToken) }
        value["details"] = details
        return value
    }

    var protobuf: [UInt8] {
        let status = WireStatus.with {
            $0.status = WireText("Failure")
            ($0.message, $0.reason) = (WireText(message), WireText(reason))
            $0.code = Int32(code)
            if let continueToken { $0.metadata.continue = WireText(continueToken) }
            if let seconds = details["retryAfterSeconds"].integer {
                $0.details.retryAfterSeconds = Int32(seconds)
            }
        }
        return (try? status.serializedBytes()) ?? []
    }

    static func notFound(_ kind: ResourceKind, _ key: String) -> APIStatus {
        let name = key.split(separator: "/").last.map(String.init) ?? key
        return APIStatus(
            code: 404,
            reason: "NotFound",
            message: "\(kind.plural) \"\(name)\" not found",
            details: ["name": .string(name), "kind": .string(kind.plural)]
        )
    }

    static func alreadyExists(_ kind: ResourceKind, _ name: String) -> APIStatus {
        APIStatus(
            code: 409,
            reason: "AlreadyExists",
            message: "\(kind.plural) \"\(name)\" already exists",
            details: ["name": .string(name), "kind": .string(kind.plural)]
        )
    }

    static func conflict(_ kind: ResourceKind, _ name: String) -> APIStatus {
        APIStatus(
            code: 409,
            reason: "Conflict",
            message: "Operation cannot be fulfilled on \(kind.plural) \"\(name)\": the object has"
                + " been modified; please apply your changes to the latest version and try again",
            details: ["name": .string(name), "kind": .string(kind.plural)]
        )
    }

    static func badRequest(_ message: String) -> APIStatus {
        APIStatus(code: 400, reason: "BadRequest", message: message)
    }

    static func invalid(_ message: String) -> APIStatus {
        APIStatus(code: 422, reason: "Invalid", message: message)
    }

    static func expired(_ version: Int64, _ current: Int64) -> APIStatus {
        APIStatus(
            code: 410,
            reason: "Expired",
            message: "too old resource version: \(version) (\(current))"
        )
    }

    static func tooLarge(_ version: Int64, _ current: Int64) -> APIStatus {
        APIStatus(
            code: 504,
            reason: "Timeout",
            message:
                "Timeout: Too large resource version: \(version), current: \(current)",
            details: ["retryAfterSeconds": 1]
        )
    }
}
