internal import ArgumentParser
internal import Glibc
internal import NetworkTypes

/// The command line.
///
/// Contract: docs/architecture.md.
@main
struct Needletail: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "needletail",
        abstract: "A Kubernetes service proxy that programs nftables sets over netlink.",
        discussion: """
            Runs on every node in kube-proxy's place. It watches Services and EndpointSlices and \
            keeps the tables "ip needletail" and "ip6 needletail" of this network namespace in \
            step with them. "needletail" alone means "needletail run".

            Exit status: 0 success; 1 failure, or, for diff, differences; 64 wrong usage.
            """,
        version: version,
        subcommands: [
            Run.self, Render.self, Diff.self, Explain.self, Status.self, Cleanup.self, Version.self,
            Reference.self,
        ],
        defaultSubcommand: Run.self
    )

    static let version = "0.1.0"

    static func main() async {
        let arguments = CommandLine.arguments.dropFirst().compactMap(FlagValue.normalized)
        do {
            var command = try parseAsRoot(arguments)
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
            DaemonLog.flush()
        } catch let error as Failure {
            DaemonLog.flush()
            for line in error.lines { report(line) }
            Glibc.exit(EXIT_FAILURE)
        } catch {
            DaemonLog.flush()
            exit(withError: error)
        }
    }
}

/// An error that ends the program, told in one line, or in a line for each problem.
struct Failure: Error, CustomStringConvertible {
    let lines: [String]

    init(_ line: String) { lines = [line] }

    init(lines: [String]) { self.lines = lines }

    var description: String { lines.joined(separator: "; ") }
}

/// Writes a line to standard error.
func report(_ text: String) {
    var line = "needletail: \(text.printable)\n"
    line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
}

struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print the version.")

    func run() { print("needletail \(Needletail.version)") }
}
