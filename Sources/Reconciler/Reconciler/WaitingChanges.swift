internal import KubernetesModel
package import ServicePlan

/// A change of a plan that the kernel has taken, and what caused it.
package struct CommittedChange: Sendable {
    package var change: PlanChange
    /// The oldest causes; empty if the node or another Service caused it.
    package var causes: [ChangeCause]
    /// When the newest plan was compiled.
    package var compiled: ContinuousClock.Instant

    package init(
        _ change: PlanChange,
        causes: [ChangeCause] = [],
        compiled: ContinuousClock.Instant
    ) {
        (self.change, self.causes, self.compiled) = (change, causes, compiled)
    }
}

/// The changes that are compiled and that the kernel has not taken yet.
struct WaitingChanges {
    private var changes: [CommittedChange] = []
    /// What changed about the node, as text.
    private var nodeChanges: [String] = []

    /// The largest number of causes of one change to keep, and of the changes of the node.
    private static let limit = 8
    /// Up to this number, causes are compared one by one.
    private static let few = 8

    var count: Int { changes.count }

    /// The Services that wait, in the order in which their changes came.
    func services(atMost limit: Int) -> [String] { changes.prefix(limit).map(\.change.service) }

    mutating func add(
        _ new: [PlanChange],
        _ causes: ChangeCauses,
        _ nodeChanges: [String],
        at moment: ContinuousClock.Instant
    ) {
        self.nodeChanges += nodeChanges.prefix(Self.limit - self.nodeChanges.count)
        let isFew = causes.all.count <= Self.few
        let grouped = isFew ? [:] : causes.byService
        let known =
            changes.isEmpty
            ? [:]
            : Dictionary(uniqueKeysWithValues: zip(changes.map(\.change.service), changes.indices))
        for change in new {
            let all =
                isFew
                ? causes.all.filter { $0.service.isWritten(change.service) }
                : grouped[change.service] ?? []
            guard let index = known[change.service] else {
                let some = all.count > Self.limit ? Array(all.prefix(Self.limit)) : all
                changes.append(CommittedChange(change, causes: some, compiled: moment))
                continue
            }
            changes[index].change.new = change.new
            changes[index].compiled = moment
            changes[index].causes += all.prefix(Self.limit - changes[index].causes.count)
        }
    }

    /// Takes the changes that were committed out.
    ///
    /// - Parameter committed: the changes; nil if all were
    mutating func take(_ committed: [PlanChange]?) -> [CommittedChange] {
        guard let committed, committed.count < changes.count else {
            defer { changes = [] }
            return changes
        }
        let names = Set(committed.map(\.service))
        defer { changes.removeAll { names.contains($0.change.service) } }
        return changes.filter { names.contains($0.change.service) }
    }

    mutating func takeNodeChanges() -> [String] {
        guard !nodeChanges.isEmpty else { return [] }
        defer { nodeChanges = [] }
        return nodeChanges
    }

    /// Returns the plan that the kernel has of a Service whose change waits; nil if none waits.
    func old(of service: String) -> ServicePlan?? {
        changes.first { $0.change.service == service }.map(\.change.old)
    }
}
