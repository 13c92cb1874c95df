internal import ArgumentParser
internal import IPVS
internal import IPVSKernel
internal import NFTables
internal import NFTablesKernel
internal import NetworkTypes
internal import Observability
internal import ServicePlan

struct Diff: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compare desired state with this node's kernel; changes nothing.",
        discussion: "Exit status: 0 no difference; 1 differences, or failure."
    )

    enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

    @Option(name: .shortAndLong, help: "text, or json.")
    var output = Format.text

    @OptionGroup var source: SourceOptions
    @OptionGroup var planning: PlanningOptions

    func run() async throws {
        let configuration = try planning.configuration(source)
        let snapshot = try await Snapshot(source, configuration)
        let dataplane = try OpenDataplane(configuration, DaemonLog.ofCommand)
        let lines = try await differenceLines(dataplane, snapshot)
        switch output {
        case .text: for line in lines { print(line.printable) }
        case .json: print(jsonText(DifferenceDocument(lines), pretty: true))
        }
        if !lines.isEmpty { throw ExitCode.failure }
    }
}

/// The differences with their signs as words.
private struct DifferenceDocument: Encodable {
    struct Difference: Encodable {
        let action: String
        let object: String
    }

    let differences: [Difference]

    init(_ lines: [String]) {
        let words: [Character: String] = ["+": "add", "-": "remove", "~": "change"]
        differences = lines.map { line in
            Difference(
                action: line.first.flatMap { words[$0] } ?? "",
                object: String(line.dropFirst(2))
            )
        }
    }
}

/// One line for each object: `+` will be added, `-` will be removed, `~` will be replaced.
func differenceLines(_ dataplane: OpenDataplane, _ snapshot: Snapshot) async throws -> [String] {
    do throws(CommitError) {
        let (tables, servers) = try await dataplane.difference(snapshot.plans, snapshot.facts)
        return tables.flatMap { differenceLines($0.program, $0.changes) }
            + (servers.map(differenceLines) ?? [])
    } catch {
        throw Failure("\(error)")
    }
}

private func differenceLines(_ changes: ServerDifference) -> [String] {
    changes.operations.map { operation in
        switch operation {
        case .add(let server): "+ ipvs \(IPVSText.line(server))"
        case .set(let server): "~ ipvs \(IPVSText.line(server))"
        case .remove(let key): "- ipvs \(key)"
        case .addDestination(let destination, let key):
            "+ ipvs \(IPVSText.line(destination, of: key))"
        case .setDestination(let destination, let key):
            "~ ipvs \(IPVSText.line(destination, of: key))"
        case .removeDestination(let id, let key): "- ipvs \(key) \(id)"
        }
    } + changes.unbound.sorted().map { "- \(VirtualDevice.name) \($0)" }
        + changes.bound.sorted().map { "+ \(VirtualDevice.name) \($0)" }
}

private func differenceLines(_ program: Program, _ changes: Changeset) -> [String] {
    let printer = RulesetPrinter(program.family)
    let table = "\(program.family.nftName) \(RulesetPrinter.tableName)"
    var lines: [String] = []
    if changes.createsTable { lines.append("+ table \(table)") }
    lines += changes.addedSets.map { "+ \(table) set \($0.name)" }
    lines += changes.removedSets.map { "- \(table) set \($0.name)" }
    for (chain, change) in changes.chains.sorted(by: { $0.key.text < $1.key.text }) {
        switch change {
        case .append(let rules):
            lines += rules.map { "+ \(table) chain \(chain.text): \(printer.text($0))" }
        case .replace(let rules):
            lines.append("~ \(table) chain \(chain.text): \(rules.count) rules")
        case .create: lines.append("+ \(table) chain \(chain.text)")
        case .delete: lines.append("- \(table) chain \(chain.text)")
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
