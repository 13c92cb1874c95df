internal import FoundationEssentials
internal import Glibc
package import NetworkNamespaces

/// The needletail program that was built with the tests, run as a user runs it.
package enum Binary {
    package static let path: String = {
        // The virtual machine is slow and gets a smaller program.
        if let path = ProcessInfo.processInfo.environment["NEEDLETAIL_BINARY"] { return path }
        return "\(folder)/needletail"
    }()

    /// Where the tests were built.
    private static var folder: String {
        let own =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return own.split(separator: "/").dropLast().map { "/\($0)" }.joined()
    }

    /// What to put before the program's arguments so that its netlink sockets fail;
    /// `Tests/NetlinkFaults` says how.
    package static func netlinkFaults(_ faults: String) -> [String] {
        ["env", "LD_PRELOAD=\(folder)/libNetlinkFaults.so", "NETLINK_FAULTS=\(faults)"]
    }

    package struct Result {
        package let output: String
        package let status: Int32
    }

    /// Runs the program to its end in a namespace; `wrapper` is put before its arguments.
    package static func run(
        _ arguments: [String],
        in namespace: NetworkNamespace,
        wrapper: [String] = [],
        input: String = ""
    ) throws -> Result {
        // The shell prints the status after the output.
        let quoted = (wrapper + [path] + arguments).map { "'\($0)'" }.joined(separator: " ")
        let text = try namespace.run(
            ["sh", "-c", "\(quoted); status=$?; echo; echo status=$status"],
            input: input
        )
        let parts = text.split(separator: "\nstatus=")
        return Result(
            output: parts.first.map(String.init) ?? "",
            status: Int32(parts.last?.filter(\.isNumber) ?? "") ?? -1
        )
    }
}

/// A daemon, or another command that goes on, which ends with the test.
package final class Daemon {
    package let child: Int32
    private let log: String
    private var isRunning = true

    package init(
        _ arguments: [String],
        of command: String = "run",
        in namespace: NetworkNamespace,
        wrapper: [String] = [],
        log: String
    ) throws {
        self.log = log
        let file = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer {
            close(file)
            close(null)
        }
        child = try Command.start(
            wrapper + [Binary.path, command] + arguments,
            in: namespace,
            input: null,
            output: file
        )
    }

    package var output: String { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }

    /// Waits until the log contains the text `count` times.
    package func wait(for text: String, count: Int = 1) throws {
        try wait { output.components(separatedBy: text) >= count }
    }

    /// Whether the program has not ended by itself.
    package var isAlive: Bool {
        var end = siginfo_t()
        return waitid(P_PID, id_t(child), &end, WEXITED | WNOHANG | WNOWAIT) == 0
            && end.si_signo == 0
    }

    /// Waits until a condition holds; if it never does, the error contains the log.
    package func wait(until holds: () throws -> Bool) throws {
        let clock = ContinuousClock()
        let deadline = clock.now + .seconds(120)
        while try !holds() {
            guard clock.now < deadline else { throw CommandError("it did not happen: \(output)") }
            usleep(5000)
        }
    }

    /// Runs `work` while the program stands still.
    package func whilePaused<Value>(_ work: () throws -> Value) rethrows -> Value {
        kill(child, SIGSTOP)
        // On a busy machine its threads go on until one of them has taken the signal.
        waitpid(child, nil, WUNTRACED)
        defer { kill(child, SIGCONT) }
        return try work()
    }

    /// Stops the daemon with a signal and returns its wait status.
    @discardableResult
    package func stop(_ signal: Int32 = SIGTERM) -> Int32 {
        guard isRunning else { return 0 }
        kill(child, signal)
        return end()
    }

    /// Waits until the program ends by itself, and returns its wait status.
    package func end() -> Int32 {
        isRunning = false
        var status: Int32 = 0
        waitpid(child, &status, 0)
        return status
    }

    deinit { stop(SIGKILL) }
}

extension String {
    fileprivate func components(separatedBy text: String) -> Int {
        split(separator: text, omittingEmptySubsequences: false).count - 1
    }
}

/// A temporary folder for one test.
package final class Folder {
    package let path: String

    package init() throws {
        path =
            FileManager.default.temporaryDirectory.path() + "needletail-test-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    /// Writes a file to the folder in one step.
    @discardableResult
    package func write(_ text: String, to name: String) throws -> String {
        let file = "\(path)/\(name)"
        try Data(text.utf8).write(to: URL(filePath: "\(path)/.partial"))
        guard rename("\(path)/.partial", file) == 0 else {
            throw CommandError("\(file) cannot be written")
        }
        return file
    }

    /// Writes a script that can be run at once.
    ///
    /// Another process writes it: what a test starts in the meantime would have a descriptor of the
    /// file for a moment, and a file that is open for writing cannot be run (ETXTBSY).
    package func writeProgram(_ text: String, to name: String) throws {
        let file = "\(path)/\(name)"
        try Command.run(["sh", "-c", "cat > '\(file)' && chmod 755 '\(file)'"], input: text)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}
