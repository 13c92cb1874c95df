internal import Synchronization

/// A rule of a ClusterRole (rbac.authorization.k8s.io/v1).
package struct PolicyRule: Sendable, Hashable, Codable {
    package var apiGroups: [String]
    package var resources: [String]
    package var verbs: [String]

    package init(apiGroups: [String], resources: [String], verbs: [String]) {
        (self.apiGroups, self.resources, self.verbs) = (apiGroups, resources, verbs)
    }

    /// What the rule allows, one by one.
    package var permissions: [Permission] {
        apiGroups.flatMap { group in
            resources.flatMap { resource in
                verbs.map { Permission(verb: $0, group: group, resource: resource) }
            }
        }
    }
}

/// What one request needs.
package struct Permission: Sendable, Hashable, CustomStringConvertible {
    package let verb: String
    package let group: String
    /// The plural, followed by the subresource if there is one: `services/status`.
    package let resource: String

    package init(verb: String, group: String, resource: String) {
        (self.verb, self.group, self.resource) = (verb, group, resource)
    }

    package var description: String {
        group.isEmpty ? "\(verb) \(resource)" : "\(verb) \(resource).\(group)"
    }

    /// The verbs are those of k8s.io/apiserver, RequestInfoFactory.
    init(_ request: ServerRequest, _ route: Route) {
        let verb =
            switch request.method {
            case "GET" where request.isWatch: "watch"
            case "GET": route.name.isEmpty ? "list" : "get"
            case "POST": "create"
            case "PUT": "update"
            case "PATCH": "patch"
            default: route.name.isEmpty ? "deletecollection" : "delete"
            }
        let subresource = route.subresource.isEmpty ? "" : "/\(route.subresource)"
        self.init(verb: verb, group: route.kind.group, resource: route.kind.plural + subresource)
    }
}

/// Allows what a role allows, and remembers what was asked for.
final class Authorizer: Sendable {
    private let allowed: Set<Permission>?
    private let asked = Mutex<(used: Set<Permission>, refused: Set<Permission>)>(([], []))

    /// - Parameter rules: nil allows everything
    init(_ rules: [PolicyRule]?) { allowed = rules.map { Set($0.flatMap(\.permissions)) } }

    var used: Set<Permission> { asked.withLock(\.used) }
    var refused: Set<Permission> { asked.withLock(\.refused) }

    func check(_ permission: Permission, in namespace: String) throws(APIStatus) {
        guard let allowed, !allowed.contains(permission) else {
            asked.withLock { _ = $0.used.insert(permission) }
            return
        }
        asked.withLock { _ = $0.refused.insert(permission) }
        let place = namespace.isEmpty ? "at the cluster scope" : "in the namespace \"\(namespace)\""
        throw APIStatus(
            code: 403,
            reason: "Forbidden",
            message:
                "\(permission.resource) is forbidden: User \"test\" cannot \(permission.verb) resource"
                + " \"\(permission.resource)\" in API group \"\(permission.group)\" \(place)"
        )
    }
}
