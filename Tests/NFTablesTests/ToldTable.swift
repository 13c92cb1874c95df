import NFTables
import NetworkTypes
import ServicePlan

/// The state of a table, and the plans that it was told of.
struct ToldTable {
    private(set) var state: TableState
    private var plans: [String: ServicePlan] = [:]

    init(_ family: IPFamily) { state = TableState(family) }

    init(_ state: TableState, _ plans: [ServicePlan]) {
        self.state = state
        self.plans = Dictionary(uniqueKeysWithValues: plans.map { ($0.service, $0) })
    }

    var program: Program { state.program }

    mutating func apply(
        _ changed: [(service: String, plan: ServicePlan?)],
        node: TableInputs
    ) -> Changeset {
        let changes = changed.map { PlanChange($0, old: plans[$0], new: $1) }
        for change in changes { plans[change.service] = change.new }
        return state.apply(changes, node)
    }
}
