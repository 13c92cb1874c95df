internal import ArgumentParser
internal import Glibc
internal import Logging
internal import NFTables
internal import NFTablesKernel
internal import NetworkTypes
internal import ServicePlan

struct Diff: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compare desired state with this node's kernel; changes nothing.",
        discussion: "Exit status: 0 no difference; 1 differences, or failure."
    )

    @OptionGroup var source: SourceOptions
    @OptionGroup var node: NodeOptions

    func run() async throws {
        let snapshot = try Snapshot(
            try await readObjects(source, node),
            try node.configuration(),
            endpointsFrom: source.endpointsSource
        )
        let dataplane = try openDataplane(Logger(label: "needletail"))
        var isDifferent = false
        do {
            for (program, changes) in try await dataplane.difference(
                snapshot.plans,
                node: snapshot.facts
            ) {
                for line in differenceLines(program, changes) {
                    isDifferent = true
                    print(line)
                }
            }
        } catch {
            throw Failure("\(error)")
        }
        if isDifferent { Glibc.exit(EXIT_FAILURE) }
    }
}

/// One line for each object: `+` will be added, `-` will be removed, `~` will be replaced.
private func differenceLines(_ program: Program, _ changes: Changeset) -> [String] {
    let printer = RulesetPrinter(program.family)
    let table = "\(program.family.nftName) \(RulesetPrinter.tableName)"
    var lines: [String] = []
    if changes.createsTable { lines.append("+ table \(table)") }
    lines += changes.addedSets.map { "+ \(table) set \($0.name)" }
    lines += changes.removedSets.map { "- \(table) set \($0.name)" }
    for (chain, change) in changes.chains.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
        switch change {
        case .append(let rules):
            lines += rules.map { "+ \(table) chain \(chain.rawValue): \(printer.text($0))" }
        case .replace(let rules):
            lines.append("~ \(table) chain \(chain.rawValue): \(rules.count) rules")
        }
    }
    for (sign, elements) in [("-", changes.removed), ("+", changes.added)] {
        for (set, elements) in elements.sorted(by: { $0.key.name < $1.key.name }) {
            let definition = SetDefinition(set)
            lines += elements.sorted().map {
                "\(sign) \(table) \(set.name): \(printer.text($0, of: definition))"
            }
        }
    }
    return lines
}

func openDataplane(_ logger: Logger) throws -> NFTablesDataplane {
    do {
        // The file is there exactly if the kernel speaks IPv6.
        let families: [IPFamily] =
            access("/proc/net/if_inet6", F_OK) == 0 ? [.ipv4, .ipv6] : [.ipv4]
        return try NFTablesDataplane(families: families, logger: logger)
    } catch {
        throw Failure("\(error)")
    }
}
