internal import NetworkTypes
package import ServicePlan

extension NodeTables {
    /// Returns what `adopt` would change for some Services among others, without changing anything.
    ///
    /// Chains, rules and the shapes of sets are read as a whole, since they do not grow with the
    /// cluster. Elements are asked for one by one: those that the Services need, those of the node,
    /// and those that would make something else of a frontend.
    package func difference(
        for services: [ServicePlan],
        _ inputs: TableInputs
    ) throws(TableFault) -> [TableTransaction] {
        var result: [TableTransaction] = []
        for family in families {
            var contents = try kernel.outline(family, Program.Variant(inputs, family))
            if !contents.isUnusable {
                for (id, keys) in TableState.questions(services, inputs, family) {
                    contents.elements[id] = try kernel.find(keys, in: SetDefinition(id), family)
                }
            }
            let (state, changes) = TableState.adopting(
                contents,
                services,
                inputs,
                family,
                besideOthers: true
            )
            result.append(TableTransaction(program: state.program, changes: changes))
        }
        return result
    }
}

extension TableState {
    /// The keys of the elements to look for.
    fileprivate static func questions(
        _ services: [ServicePlan],
        _ inputs: TableInputs,
        _ family: IPFamily
    ) -> [SetID: Set<ElementBytes>] {
        var questions: [SetID: Set<ElementBytes>] = [:]
        let ask = { (set: SetID, element: Element) in
            _ = questions[set, default: []].insert(element.key)
        }
        let memberships = SetID.constant(Program.Variant(inputs, family)).filter {
            let set = SetDefinition($0)
            return set.key == PacketField.frontend && !set.isForgetful
        }
        for plan in services {
            // The size of a layout follows from the plan, whatever endpoint has which slot.
            let laidOut = LaidOutPlan(plan, inputs.role, family) { _, _, _ in nil }
            for frontend in laidOut.frontends {
                for set in memberships { ask(set, Element(key: ElementBytes(frontend.key))) }
            }
            laidOut.forEachElement(ask)
            laidOut.forEachSharedElement { ask($0.set, $0.element) }
        }
        for (set, elements) in TableState(family, inputs.role).elements(of: inputs) {
            for element in elements { ask(set, element) }
        }
        return questions
    }
}
