package import Backend
internal import NetworkTypes

extension TableTransaction {
    /// The changes of the transaction, one for each object.
    package var differences: [Difference] {
        let table = "\(program.family.nftName) \(RulesetPrinter.tableName)"
        let everyone = { (verb: Difference.Verb, object: String) in
            Difference(verb, "\(table) \(object)", of: .everyone)
        }
        var found: [Difference] = []
        if changes.createsTable { found.append(.init(.add, "table \(table)", of: .everyone)) }
        found += changes.addedSets.map { everyone(.add, "set \($0.name)") }
        found += changes.removedSets.map { everyone(.remove, "set \($0.name)") }
        for (chain, change) in changes.chains.sorted(by: { $0.key.text < $1.key.text }) {
            let name = "chain \(chain.text)"
            switch change {
            case .append(let rules):
                let printer = RulesetPrinter(program.family)
                found += rules.map { everyone(.add, "\(name): \(printer.text($0))") }
            case .replace(let rules):
                found.append(everyone(.change, "\(name): \(rules.count) rules"))
            case .create: found.append(everyone(.add, name))
            case .delete: found.append(everyone(.remove, name))
            }
        }
        return found + differences(.remove, changes.removed, table)
            + differences(.add, changes.added, table)
    }

    private func differences(
        _ verb: Difference.Verb,
        _ elements: [SetID: [Element]],
        _ table: String
    ) -> [Difference] {
        let printer = RulesetPrinter(program.family)
        return elements.sorted { $0.key.name < $1.key.name }
            .flatMap { set, elements in
                let definition = SetDefinition(set)
                return elements.sorted().map { element in
                    Difference(
                        verb,
                        "\(table) \(set.name): \(printer.text(element, of: definition))",
                        of: subject(of: element, in: set)
                    )
                }
            }
    }

    private func subject(of element: Element, in set: SetID) -> Difference.Subject {
        var key = ElementReader(element.key)
        switch set {
        case .serviceCIDRs, .podCIDRs, .inherited, .draining: return .everyone
        case .clusterIPs: return key.address(program.family).map { .address($0) } ?? .everyone
        case .hairpin, .serviceEndpoints, .formerEndpoints:
            return key.address(program.family).map { .endpoint($0) } ?? .everyone
        case .affinity:
            _ = key.hostOrderWord()
            return key.frontendKey(program.family).map { .frontend($0) } ?? .everyone
        case .frontends, .endpoints, .localEndpoints, .localPolicy, .sticky, .stickyTimeouts,
            .masqueradeFrontends, .externalFrontends, .noEndpoints, .noLocalEndpoints, .restricted,
            .allowedSources:
            return key.frontendKey(program.family).map { .frontend($0) } ?? .everyone
        }
    }
}
