internal import KubernetesModel

/// The objects of one kind that cannot be read now.
struct SetAside {
    /// What is wrong, by the object's place.
    private var reasons: [String: String] = [:]

    /// So many are named: a tenant can make more of them than anybody reads.
    private static let limit = 100

    var count: Int { reasons.count }

    /// Returns whether to tell of it: the object is new here, or what is wrong with it.
    mutating func insert(_ object: UnreadableObject) -> Bool {
        let isNews = reasons.updateValue(object.reason, forKey: object.place) != object.reason
        return isNews && count <= Self.limit
    }

    /// Returns whether the object was set aside.
    mutating func remove(_ name: ObjectName) -> Bool {
        reasons.removeValue(forKey: name.description) != nil
    }

    /// Forgets those that a list does not have any more.
    mutating func keep(only objects: [UnreadableObject]) {
        let places = Set(objects.map(\.place))
        reasons = reasons.filter { places.contains($0.key) }
    }
}
