internal import ArgumentParser
internal import Glibc
internal import Observability
internal import UnixSignals

struct Preflight: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say whether this node is ready for needletail, and what a start would change.",
        discussion: """
            Takes the flags and the configuration of `run`, and changes nothing: all rules and sets are \
            tried in a transaction that the kernel undoes. Says how the cluster was made, what makes the \
            pods' network, what kube-proxy does and has left, who holds the ports, what other programs' \
            rules would stop, what the API server says, and which commands come next.

            With --verify, after the switch: whether the daemon is ready, the kernel holds everything, \
            nothing of kube-proxy is left, and real packets to the API server's Service and to DNS go \
            where they should.

            Exit status: 0 ready; 1 something must be done first, or failure; 3 ready, with warnings.
            """
    )

    @Flag(help: "Prove afterwards that the switch has worked.")
    var verify = false

    @Flag(
        help:
            "Stay until a signal ends it, unless there was a problem: a DaemonSet runs this on all nodes."
    )
    var stay = false

    @Option(name: .shortAndLong, help: "text, or json.")
    var output = TextOrJSON.text

    @OptionGroup var source: SourceOptions
    @OptionGroup var planning: PlanningOptions

    func run() async throws {
        let configuration = try planning.configuration(source)
        let report =
            verify
            ? await SwitchProof(source: source, configuration: configuration).report()
            : await PreflightCheck(source: source, configuration: configuration).report()
        // Whoever has read the report may end the program.
        let ends = stay ? await UnixSignalsSequence(trapping: .sigint, .sigterm) : nil
        switch output {
        case .text: print(report.text, terminator: "")
        case .json: print(jsonText(report, pretty: true))
        }
        if report.has(.problem) { throw ExitCode.failure }
        if let ends {
            fflush(nil)
            for await _ in ends { return }
        }
        if report.has(.warning) { throw ExitCode(3) }
    }
}
