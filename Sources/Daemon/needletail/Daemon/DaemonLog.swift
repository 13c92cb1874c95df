internal import Configuration
internal import FoundationEssentials
internal import Glibc
internal import Logging
internal import NetworkTypes
internal import Observability
internal import Synchronization
internal import Threads

/// The log on standard error, whose verbosity can change while the daemon runs.
///
/// Each message is one line, whatever characters the names in it contain. Logging never waits for
/// the reader of standard error.
enum DaemonLog {
    private static let level = Mutex(Logger.Level.info)
    private static let isJSON = Mutex(false)
    private static let lines = LineWriter(STDERR_FILENO) { count in
        text(
            LogLine(
                level: .warning,
                label: "needletail",
                message:
                    "\(count) lines of the log were lost before this one: there were more than"
                    + " standard error could take, or writing to it failed"
            )
        )
    }

    static func start(_ logging: KubeProxyConfiguration.Logging) -> Logger {
        // A log without a reader, or an API server that closes a connection, must not end the
        // daemon. The handler does nothing; unlike an ignored signal, it is not inherited by the
        // programs that the daemon starts.
        signal(SIGPIPE) { _ in }
        setVerbosity(logging.verbosity)
        isJSON.withLock { $0 = logging.format == "json" }
        LoggingSystem.bootstrap { LineLogHandler(label: $0) }
        return Logger(label: "needletail")
    }

    /// A logger for commands other than the daemon.
    static var ofCommand: Logger {
        Logger(label: "needletail") { LineLogHandler(label: $0) }
    }

    static func setVerbosity(_ verbosity: Int) {
        level.withLock { $0 = verbosity >= 2 ? .debug : .info }
    }

    /// Writes out the lines that still wait; must be called before the process ends.
    static func flush() { lines.flush() }

    fileprivate static func write(_ line: LogLine) { lines.write(text(line)) }

    private static func text(_ line: LogLine) -> String {
        (isJSON.withLock(\.self) ? line.json : line.text) + "\n"
    }

    fileprivate static var currentLevel: Logger.Level { level.withLock(\.self) }
}

private struct LineLogHandler: LogHandler {
    let label: String
    var metadata: Logger.Metadata = [:]
    /// The level that was set on this logger alone (the service group does so); nil for the
    /// daemon's level.
    private var ownLevel: Logger.Level?

    init(label: String) { self.label = label }

    var logLevel: Logger.Level {
        get { ownLevel ?? DaemonLog.currentLevel }
        set { ownLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let line = LogLine(
            level: event.level,
            label: label,
            message: "\(event.message)",
            fields: metadata.merging(event.metadata ?? [:]) { $1 }.mapValues { "\($0)" }
        )
        DaemonLog.write(line)
    }
}

/// A log message that is written as one line.
struct LogLine {
    /// The time in seconds since 1970.
    var time = Date().timeIntervalSince1970
    let level: Logger.Level
    let label: String
    let message: String
    var fields: [String: String] = [:]

    /// The form `2026-11-26T04:10:39.123Z warning needletail: the message key=value other="two
    /// words"`.
    var text: String {
        var line = "\(timestamp) \(level) \(label): \(message.printable)"
        for (key, value) in fields.sorted(by: { $0.key < $1.key }) {
            line += " \(key.printable)=\(Self.quoted(value.printable))"
        }
        return line
    }

    /// The form of Kubernetes' JSON logs: `ts` in milliseconds, `level`, `msg` and the fields.
    var json: String {
        var values = fields
        values["level"] = level >= .error ? "error" : level >= .info ? "info" : "debug"
        values["msg"] = message
        // The time is a number; all other values are strings.
        return "{\"ts\":\(Int(time * 1000)),\(jsonText(values).dropFirst())"
    }

    private var timestamp: String {
        let milliseconds = Int((time - time.rounded(.down)) * 1000)
        let whole = Date(timeIntervalSince1970: time.rounded(.down)).formatted(.iso8601)
        return "\(whole.dropLast()).\(String("00\(milliseconds)".suffix(3)))Z"
    }

    /// Returns the value, in quotation marks if it is empty or contains a space, a quotation mark
    /// or `=`.
    private static func quoted(_ value: String) -> String {
        guard value.isEmpty || value.contains(where: { " \"=".contains($0) }) else { return value }
        return "\"\(value.replacing("\"", with: "\\\""))\""
    }
}
