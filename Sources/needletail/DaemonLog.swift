internal import Configuration
internal import FoundationEssentials
internal import Glibc
internal import Logging
internal import Synchronization

/// The daemon's log on standard error, whose verbosity can change while it runs.
enum DaemonLog {
    private static let level = Mutex(Logger.Level.info)

    static func start(_ logging: KubeProxyConfiguration.Logging) -> Logger {
        setVerbosity(logging.verbosity)
        let isJSON = logging.format == "json"
        LoggingSystem.bootstrap { label in
            isJSON ? JSONLogHandler() as any LogHandler : TextLogHandler(label: label)
        }
        return Logger(label: "needletail")
    }

    static func setVerbosity(_ verbosity: Int) {
        level.withLock { $0 = verbosity >= 2 ? .debug : .info }
    }

    fileprivate static var currentLevel: Logger.Level { level.withLock(\.self) }
}

private struct TextLogHandler: LogHandler {
    private var base: StreamLogHandler

    init(label: String) {
        base = StreamLogHandler.standardError(label: label)
        base.logLevel = .trace
    }

    var metadata: Logger.Metadata {
        get { base.metadata }
        set { base.metadata = newValue }
    }

    /// Whoever sets it, sets it for himself alone: the service group.
    var ownLevel: Logger.Level?

    var logLevel: Logger.Level {
        get { ownLevel ?? DaemonLog.currentLevel }
        set { ownLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { base[metadataKey: key] }
        set { base[metadataKey: key] = newValue }
    }

    func log(event: LogEvent) { base.log(event: event) }
}

/// Lines in the form of Kubernetes' JSON logs: `ts` in milliseconds, `level`, `msg`, and the rest.
private struct JSONLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    private var ownLevel: Logger.Level?

    init() {}

    var logLevel: Logger.Level {
        get { ownLevel ?? DaemonLog.currentLevel }
        set { ownLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var fields = metadata.merging(event.metadata ?? [:]) { $1 }.mapValues { "\($0)" }
        fields["level"] = event.level >= .error ? "error" : event.level >= .info ? "info" : "debug"
        fields["msg"] = "\(event.message)"
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(fields) else { return }
        // The time is a number, which the words beside it are not.
        let time = Int(Date().timeIntervalSince1970 * 1000)
        var line = "{\"ts\":\(time)," + String(decoding: data.dropFirst(), as: UTF8.self) + "\n"
        line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
