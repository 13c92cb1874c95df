internal import ArgumentParser
internal import Backend
internal import Configuration
internal import Glibc
internal import KubernetesModel
internal import NetworkTypes
internal import Observability
internal import PlanCompiler
internal import ServicePlan

struct Explain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say what happens to connections of a Service or a frontend, and why.",
        discussion: """
            The target is a Service (shop/web) or a frontend (10.96.0.10:53/udp). With a client \
            (--from 10.244.1.5), or one connection of it (--from 10.244.1.5:40312), the answer has \
            the endpoints that connection tracking has for it. What the API and the configuration \
            say is compared with what this node's kernel does: a new connection is followed through the \
            rules of all programs and the routes. Without --from, that is a connection of one client of \
            each kind. With --verify a real packet is sent and traced on its way.

            With --at, the daemon's journal tells what was programmed for a Service at that time, since \
            when, and what has happened to it since. What other programs' rules did then is not known.

            Exit status: 0 if the kernel does this; 1 if it does something else, or failure; 3 if nobody \
            can tell. With --verify also 1 if the packet went another way, and 3 if that was not seen.
            """
    )

    enum Format: String, ExpressibleByArgument, CaseIterable { case text, json, svg }

    @Argument(help: "NAMESPACE/NAME, ADDRESS, ADDRESS:PORT or ADDRESS:PORT/PROTOCOL.")
    var target: String

    @Option(help: "The client: ADDRESS, or ADDRESS:PORT.")
    var from: String?

    @Option(help: "A time in the past: -10m, or 2026-01-31T12:00:00Z.")
    var at: String?

    @Option(help: "The address at which the daemon serves metrics, for --at.")
    var address = "127.0.0.1:10249"

    @Option(name: .shortAndLong, help: "text, json, or svg: a picture.")
    var output = Format.text

    @OptionGroup var verifying: VerificationOptions
    @OptionGroup var source: SourceOptions
    @OptionGroup var planning: PlanningOptions

    func run() async throws {
        let wanted = try Wanted(target)
        if let at { return try await explain(wanted, at: at) }
        let client = try from.map(ConnectionSource.init)
        let configuration = try planning.configuration(source)
        let explainer = Explainer(
            snapshot: try await Snapshot(of: wanted, source, configuration),
            configuration: try configuration.nodeConfiguration(),
            backend: Result { () throws(CommitError) in
                try Mode.open(configuration, DaemonLog.ofCommand)
            }
        )
        if verifying.wait != nil, client == nil {
            throw Failure("--wait needs the client for which to wait: --from ADDRESS")
        }
        var document = try await explainer.explain(wanted, from: client)
        document.verifications =
            await verifying.verifications(explainer, document, wanted, from: client)?
            .map(Verified.init)
        switch output {
        case .json:
            print(jsonText(document, pretty: true))
        case .text: print(document.text, terminator: "")
        case .svg: print(ExplanationPicture(document).svg, terminator: "")
        }
        let answers = [document.kernel.agrees] + (document.verifications ?? []).map(\.agrees)
        if answers.contains(false) { throw ExitCode.failure }
        if answers.contains(nil) { throw ExitCode(3) }
    }
}

extension Explain {
    /// Tells what was programmed for a Service at a time.
    private func explain(_ wanted: Wanted, at text: String) async throws {
        guard case .service(let service) = wanted else {
            throw Failure(
                "--at needs a Service, NAMESPACE/NAME, not \"\(target)\"",
                status: EX_USAGE
            )
        }
        guard from == nil else {
            throw Failure(
                "--at excludes --from: the journal knows plans, not connections",
                status: EX_USAGE
            )
        }
        let name = try HistoryText.serviceParameter(service)
        let moment = try PastTime.seconds(of: text, option: "--at")
        let daemon = DaemonClient(address: address)
        let past = try await daemon.pastPlan(of: name, at: moment)
        switch output {
        case .json: print(past.json)
        case .text: print(PastPlanText.lines(past).joined(separator: "\n"))
        case .svg:
            throw Failure("there is no picture of the past: leave out -o svg", status: EX_USAGE)
        }
    }
}
