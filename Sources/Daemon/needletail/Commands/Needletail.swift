internal import ArgumentParser
internal import Configuration
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
            Run.self, Render.self, Diff.self, Explain.self, Watch.self, History.self, Status.self,
            Kubectl.self, Preflight.self, Cleanup.self, Version.self, Reference.self,
        ],
        defaultSubcommand: Run.self
    )

    static let version = "0.1.0"

    static func main() async {
        do {
            var command = try parseAsRoot(rewritten(arguments()))
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
            DaemonLog.flush()
        } catch let error as Failure {
            DaemonLog.flush()
            for line in error.lines { report(line) }
            Glibc.exit(error.status)
        } catch {
            DaemonLog.flush()
            // ArgumentParser does not know the flags of settings, so they are added to the help.
            let message = fullMessage(for: error)
            guard message.contains("\nUSAGE: needletail run ") else { exit(withError: error) }
            print(message, flagHelp, separator: "\n\n")
        }
    }

    /// The arguments, among them the command's name that the program's own stands for.
    private static func arguments() throws -> [String] {
        let arguments = CommandLine.arguments
        // Swift reads them from there; without them the daemon would start, whatever was asked.
        guard !arguments.isEmpty else {
            throw Failure("/proc/self/cmdline cannot be read: /proc must be mounted")
        }
        let name = arguments.first?.split(separator: "/").last
        return (name == "kubectl-needletail" ? [Kubectl._commandName] : []) + arguments.dropFirst()
    }

    /// The commands that take the flags of settings; without a command name, the first one runs.
    private static let withSettings =
        [Run.self, Render.self, Diff.self, Explain.self, Watch.self, Preflight.self]
        as [any ParsableCommand.Type]

    /// The commands that look at what the daemon of this node has programmed.
    private static let looking =
        [Diff.self, Explain.self, Watch.self] as [any ParsableCommand.Type]

    private static func rewritten(_ arguments: [String]) throws -> [String] {
        let word = arguments.first.flatMap { $0.hasPrefix("-") ? nil : $0 }
        guard word == nil || withSettings.contains(where: { $0._commandName == word }) else {
            return arguments
        }
        do throws(ConfigurationProblem) {
            let flags = try PlanningOptions.grammar.rewritten(arguments)
            guard looking.contains(where: { $0._commandName == word }) else { return flags }
            return DaemonFlags.adopted(by: flags, from: DaemonFlags.ofFirstProcess())
        } catch {
            throw Failure(usage: error)
        }
    }

    /// The help for the flags of settings.
    static var flagHelp: String {
        let flags = SettingFlag.all.map { flag in
            "  --\(flag.name)\(flag.isBoolean ? "" : " <value>")\n      \(flag.help)"
        }
        return "FLAGS OF THE CONFIGURATION:\n" + flags.joined(separator: "\n")
    }
}

/// An error that ends the program, with one line for each problem.
struct Failure: Error, CustomStringConvertible {
    let lines: [String]
    let status: Int32

    init(_ line: String, status: Int32 = EXIT_FAILURE) { self.init([line], status: status) }

    init(_ lines: [String], status: Int32 = EXIT_FAILURE) {
        (self.lines, self.status) = (lines, status)
    }

    /// The problems on one line, for logs and events.
    var description: String { lines.joined(separator: "; ") }

    /// Makes an error about the command line, with exit status 64.
    init(usage problem: ConfigurationProblem) {
        self.init("\(problem); \"needletail help run\" lists all flags", status: EX_USAGE)
    }
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
