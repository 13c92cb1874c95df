package import KubernetesModel

/// Where changes of objects come from: one event of the API, one list, or manifests.
package struct ChangeOrigin: Sendable, Hashable {
    /// The resource version of the object, or of the list that it came with; empty if there is
    /// none, as in manifests.
    package let version: String
    package let isList: Bool
    package let arrived: ContinuousClock.Instant

    package init(version: String = "", isList: Bool = false, arrived: ContinuousClock.Instant) {
        (self.version, self.isList, self.arrived) = (version, isList, arrived)
    }
}

/// A change of an object because of which a Service is compiled again.
package struct ChangeCause: Sendable, Hashable {
    package enum Kind: UInt8, Sendable, Hashable, CaseIterable {
        case service, endpointSlice, endpoints
    }

    package let kind: Kind
    package let object: ObjectName
    /// The Service that is compiled again.
    package let service: ObjectName
    package let isRemoval: Bool
    package let origin: ChangeOrigin

    package init(
        _ kind: Kind,
        _ object: ObjectName,
        of service: ObjectName,
        isRemoval: Bool = false,
        _ origin: ChangeOrigin
    ) {
        (self.kind, self.object, self.service) = (kind, object, service)
        (self.isRemoval, self.origin) = (isRemoval, origin)
    }
}

/// The causes of the changes that are not compiled yet, in their order.
package struct ChangeCauses: Sendable, Hashable {
    /// The largest number of causes to keep; a list of the whole cluster has more.
    package static let limit = 4096

    package private(set) var all: [ChangeCause] = []

    package init() {}

    mutating func add(_ cause: ChangeCause) {
        // An object that moves or is replaced is changed in several steps.
        if let last = all.last, last.kind == cause.kind, last.object == cause.object,
            last.service == cause.service, last.origin == cause.origin
        {
            all[all.count - 1] = cause
        } else if all.count < Self.limit {
            all.append(cause)
        }
    }

    /// Returns the causes by the text of their Service, such as `shop/web`.
    var byService: [String: [ChangeCause]] { Dictionary(grouping: all, by: \.service.description) }
}
