import Backend
import ModelKernel
import ModelSupport
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// Tests of what is found about one Service by asking for single elements.
@Suite struct ServiceDifferenceTests {
    private struct Node {
        let tables = ModelTables()
        let plans: [ServicePlan]
        let inputs: TableInputs
        let family: IPFamily
        private let node: NodeTables

        /// Those that have a frontend in the table.
        var concerned: [ServicePlan] {
            plans.filter { plan in
                plan.frontends.contains { $0.key.address.family == family }
            }
        }

        init(seed: UInt64, _ role: TableRole) throws {
            let detection = RandomCluster.detections[Int(seed % 4)]
            let cluster = try RandomCluster(seed: seed, detection, role: role, isAlone: true)
            (inputs, family) = (cluster.inputs, cluster.family)
            plans = cluster.plans.values.sorted { $0.service < $1.service }
            let kernel = cluster.kernel
            tables.withKernel { $0 = kernel }
            var node = NodeTables([family], tables)
            _ = try node.adopt(plans, inputs)
            self.node = node
        }

        func everything() throws -> Set<Difference> {
            Set(try node.difference(plans, inputs).flatMap(\.differences))
        }

        func of(_ plan: ServicePlan) throws -> Set<Difference> {
            Set(try node.difference(for: [plan], inputs).flatMap(\.differences))
        }

        /// Changes an element, compares, and undoes that.
        func suffer(
            _ key: ElementBytes,
            _ set: SetID,
            _ element: Ruleset.Element?,
            of plan: ServicePlan
        )
            throws
        {
            let table = Ruleset.TableID(family)
            let former = tables.withKernel { kernel in
                kernel.ruleset.tables[table]?.sets[set.name]?.elements[key.bytes]
            }
            try tables.withKernel {
                try $0.setElement(key.bytes, element, in: set.name, of: table)
            }
            let found = try of(plan)
            #expect(try !found.isEmpty && found == everything(), "\(set.name) of \(plan.service)")
            try tables.withKernel {
                try $0.setElement(key.bytes, former, in: set.name, of: table)
            }
        }
    }

    @Test(arguments: [TableRole.balancer, .policy], 0..<4 as Range<UInt64>)
    func `every element that a Service needs is missed, and no other`(
        role: TableRole,
        seed: UInt64
    ) throws {
        let node = try Node(seed: seed, role)
        for plan in node.concerned {
            #expect(try node.of(plan).isEmpty)
            let wanted = TableState.adopting(.unusable, [plan], node.inputs, node.family).changes
            for (set, elements) in wanted.added where !SetDefinition(set).isForgetful {
                for element in elements.prefix(2) {
                    try node.suffer(element.key, set, nil, of: plan)
                }
            }
        }
    }

    @Test(arguments: [TableRole.balancer, .policy], 0..<4 as Range<UInt64>)
    func `an element that makes something else of a frontend is found`(
        role: TableRole,
        seed: UInt64
    ) throws {
        let node = try Node(seed: seed, role)
        for plan in node.concerned {
            let frontend = plan.frontends.first { $0.key.address.family == node.family }
            guard let frontend else { continue }
            let key = ElementBytes(frontend.key)
            let wanted = TableState.adopting(.unusable, [plan], node.inputs, node.family).changes
            for set in [
                SetID.localPolicy, .masqueradeFrontends, .noEndpoints, .noLocalEndpoints,
                .restricted,
            ]
            where wanted.added[set]?.contains(where: { $0.key == key }) != true {
                try node.suffer(key, set, Ruleset.Element(), of: plan)
            }
        }
    }

    @Test func `a rule without which a Service finds no endpoint is missed`() throws {
        let node = try Node(seed: 4, .balancer)
        let table = Ruleset.TableID(node.family)
        try node.tables.withKernel { kernel in
            try kernel.tamper(with: table) { $0.chains["pick"]?.rules = [] }
        }
        for plan in node.concerned { #expect(try !node.of(plan).isEmpty) }
        try node.tables.withKernel { try $0.deleteTable(table) }
        for plan in node.concerned {
            let name = "\(node.family.nftName) needletail"
            let added = Difference(.add, "table \(name)", of: .everyone)
            #expect(try node.of(plan).contains(added))
        }
    }
}
