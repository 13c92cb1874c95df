internal import ArgumentParser
internal import Configuration
internal import Glibc
internal import Observability

struct History: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what the daemon on this node programmed, when and why.",
        discussion: """
            One line for each change of a plan, the newest last: the difference, the objects because of \
            which it changed with their resourceVersion, and the time from the event of the API to the \
            kernel's answer. Refusals of the kernel, changes by other programs and their repairs, and \
            changes of the node concern all Services and are always shown. The daemon keeps 4 MiB, and \
            a restart empties it.

            Exit status: 0 success; 1 failure; 3 the journal does not reach back as far as --since.
            """
    )

    @Argument(help: "NAMESPACE/NAME of the only Service whose changes are shown.")
    var service: String?

    @Option(help: "How far back: 10m, 1h30m.")
    var since: String?

    @Flag(help: "Go on, and show what happens from now on.")
    var follow = false

    @Option(name: .shortAndLong, help: "text, or json: one object on each line.")
    var output = TextOrJSON.text

    @Option(help: "The address at which the daemon serves metrics.")
    var address = "127.0.0.1:10249"

    /// The pause between two questions with `--follow`.
    private static let pause = Duration.milliseconds(300)

    func run() async throws {
        var filter = ""
        if let service { filter += "&service=\(try HistoryText.serviceParameter(service))" }
        let daemon = DaemonClient(address: address)
        let first = try await pages(daemon, filter + (try since.map(Self.sinceParameter) ?? ""))
        if follow { try await goOn(daemon, filter, from: first) }
        guard first.isComplete else {
            throw Failure(
                "the journal does not reach back as far as --since \(since ?? ""): it begins with"
                    + " \(first.reachesBackTo.map(HistoryText.time) ?? "the first sync, which is not done")",
                status: DaemonClient.cannotTell
            )
        }
    }

    private static func sinceParameter(_ text: String) throws -> String {
        guard let span = TimeSpan(text), span.seconds >= 0 else {
            throw Failure("--since: \"\(text)\" is no duration such as 10m", status: EX_USAGE)
        }
        return "&since=\(span.seconds)"
    }

    /// Prints the entries after a position, and returns the position after them.
    ///
    /// - Parameter start: nil for the beginning; nothing is printed of another journal than that of
    ///   the position
    private func pages(
        _ daemon: DaemonClient,
        _ parameters: String,
        from start: Position? = nil
    ) async throws -> Position {
        var position = start
        while true {
            let query = "after=\(position?.next ?? 0)\(parameters)"
            let bytes = try await daemon.get("\(HistoryRoutes.historyPath)?\(query)")
            let page = try daemon.decode(HistoryDocument.self, bytes)
            var known = position ?? Position(page)
            guard page.journal == known.journal else { return Position(page) }
            for entry in page.entries { show(entry) }
            // With --follow, another program may read this.
            fflush(nil)
            known.next = page.next
            position = known
            if !page.hasMore { return known }
        }
    }

    private struct Position {
        let journal: String
        let isComplete: Bool
        let reachesBackTo: String?
        var next: UInt64

        init(_ page: HistoryDocument) {
            (journal, isComplete) = (page.journal, page.isComplete)
            (reachesBackTo, next) = (page.reachesBackTo, page.next)
        }
    }

    /// Shows what happens, also after restarts of the daemon, until the program is stopped.
    private func goOn(
        _ daemon: DaemonClient,
        _ filter: String,
        from first: Position
    ) async throws {
        var position = first
        var isAway = false
        while !Task.isCancelled {
            try await Task.sleep(for: Self.pause)
            do {
                var now = try await pages(daemon, filter, from: position)
                if now.journal != position.journal {
                    report("the daemon has been started again; its journal is new")
                    now = try await pages(daemon, filter)
                }
                (position, isAway) = (now, false)
            } catch let failure as Failure {
                if !isAway { report("\(failure); trying again") }
                isAway = true
            }
        }
    }

    private func show(_ entry: HistoryDocument.Entry) {
        switch output {
        case .json: print(jsonText(entry))
        case .text: print(HistoryText.line(entry))
        }
    }
}
