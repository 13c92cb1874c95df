internal import Configuration
internal import FoundationEssentials
internal import Glibc

/// The flags of the daemon in whose container a command runs.
///
/// Such a command is about the daemon's own settings and API server, so nobody has to repeat its
/// flags: `kubectl exec POD -- needletail explain shop/web`.
enum DaemonFlags {
    /// The beginnings of rewritten flags that say where objects come from, or how they are planned.
    private static let prefixes =
        ["setting", "config", "manifests", "context", "master"].map { "--\($0)=" }

    /// Adds the daemon's flags to those of a command that has none of the kind.
    ///
    /// - Parameters:
    ///   - arguments: the command's, as the grammar has rewritten them
    ///   - daemon: the daemon's arguments without its name, as it was started
    static func adopted(by arguments: [String], from daemon: [String]) -> [String] {
        guard !arguments.contains(where: isPlanning),
            let flags = try? PlanningOptions.grammar.rewritten(daemon)
        else { return arguments }
        return arguments.prefix(1) + flags.filter(isPlanning) + arguments.dropFirst()
    }

    /// Returns the arguments of the first process, if it is needletail's daemon; otherwise none.
    static func ofFirstProcess() -> [String] {
        guard read("/proc/1/comm") == "needletail\n" else { return [] }
        let words = read("/proc/1/cmdline").split(separator: "\0").dropFirst().map(String.init)
        let isDaemon = words.first.map { $0 == "run" || $0.hasPrefix("-") } ?? true
        return isDaemon && getpid() != 1 ? words : []
    }

    private static func isPlanning(_ argument: String) -> Bool {
        prefixes.contains(where: argument.hasPrefix)
    }

    private static func read(_ path: String) -> String {
        (try? Data(contentsOf: URL(filePath: path))).map { String(decoding: $0, as: UTF8.self) }
            ?? ""
    }
}
