internal import KubernetesModel

/// The objects of one kind that cannot be read at present.
struct SetAside {
    /// The reasons, keyed by `UnreadableObject.place`.
    private var reasons: [String: String] = [:]

    /// The number of objects that are named in logs, since a tenant could create any number of
    /// them.
    private static let limit = 100

    var count: Int { reasons.count }

    /// Returns whether to log the object: either it or its reason is new.
    mutating func insert(_ object: UnreadableObject) -> Bool {
        let isNews = reasons.updateValue(object.reason, forKey: object.place) != object.reason
        return isNews && count <= Self.limit
    }

    /// Returns whether the object was set aside.
    mutating func remove(_ name: ObjectName) -> Bool {
        reasons.removeValue(forKey: name.description) != nil
    }

    /// Forgets the objects that a new list no longer contains.
    mutating func keep(only objects: [UnreadableObject]) {
        let places = Set(objects.map(\.place))
        reasons = reasons.filter { places.contains($0.key) }
    }
}
