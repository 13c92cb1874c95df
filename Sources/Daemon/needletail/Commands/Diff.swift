internal import ArgumentParser
internal import Backend
internal import NetworkTypes
internal import Observability

struct Diff: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compare desired state with this node's kernel; changes nothing.",
        discussion: "Exit status: 0 no difference; 1 differences, or failure."
    )

    @Option(name: .shortAndLong, help: "text, or json.")
    var output = TextOrJSON.text

    @OptionGroup var source: SourceOptions
    @OptionGroup var planning: PlanningOptions

    func run() async throws {
        let configuration = try planning.configuration(source)
        let snapshot = try await Snapshot(source, configuration)
        let differences: [Difference]
        do throws(CommitError) {
            differences = try await Mode.open(configuration, DaemonLog.ofCommand)
                .difference(snapshot.plans, node: snapshot.facts)
        } catch {
            throw Failure("\(error)")
        }
        switch output {
        case .text: for difference in differences { print("\(difference)".printable) }
        case .json:
            let document = ["differences": differences.map(DifferenceDocument.init)]
            print(jsonText(document, pretty: true))
        }
        if !differences.isEmpty { throw ExitCode.failure }
    }
}

private struct DifferenceDocument: Encodable {
    let action: String
    let object: String

    init(_ difference: Difference) {
        (action, object) = (difference.verb.rawValue, difference.object)
    }
}
