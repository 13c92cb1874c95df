/// A pool that keeps one copy of each value that many objects have: where endpoints run, and ports.
package struct SharingPool: Sendable {
    private var places: Set<Shared<EndpointPlace>> = []
    private var endpointPorts: Set<[EndpointPort]> = []
    private var servicePorts: Set<[ServicePort]> = []

    package init() {}

    mutating func share(_ place: inout Shared<EndpointPlace>) { share(&place, \.places) }

    mutating func share(_ ports: inout [EndpointPort]) { share(&ports, \.endpointPorts) }

    mutating func share(_ ports: inout [ServicePort]) { share(&ports, \.servicePorts) }

    private mutating func share<Value: Hashable>(
        _ value: inout Value,
        _ known: WritableKeyPath<Self, Set<Value>>
    ) {
        // A full pool is emptied, so that unused values do not pile up.
        if self[keyPath: known].count > Self.limit { self[keyPath: known] = [] }
        value = self[keyPath: known].insert(value).memberAfterInsert
    }

    private static let limit = 20_000
}

/// A value that several may hold, in one place of memory.
final class Shared<Value: Hashable & Sendable>: Hashable, Sendable {
    let value: Value

    init(_ value: Value) { self.value = value }

    static func == (left: Shared, right: Shared) -> Bool {
        left === right || left.value == right.value
    }

    func hash(into hasher: inout Hasher) { hasher.combine(value) }
}
