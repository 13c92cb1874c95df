internal import ArgumentParser
internal import Backend
internal import Configuration
internal import Glibc
internal import Netlink
internal import NetworkTypes
internal import Threads
internal import UnixSignals

struct Watch: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print connections to Services as they begin and end on this node.",
        discussion: """
            The target is a Service (shop/web, shop/web:http) or a frontend (10.96.0.10:53/udp); without \
            one, the connections of all Services are printed. The kernel's connection tracking reports \
            them, and leaves out what is not asked for before it costs anything. Nothing is changed.

            With --refused, the packets that open connections and do not come through are printed \
            instead, whoever stops them, with the reason; what tries again from the same port is told \
            once in half a minute. A table needletail-watch-PROCESS-NUMBER exists for this time, whose \
            rules decide nothing.

            Ends with --count or --for, or with SIGINT or SIGTERM. Exit status: 0; 1 failure.
            """
    )

    @Argument(
        help: "NAMESPACE/NAME, NAMESPACE/NAME:PORT, ADDRESS, ADDRESS:PORT or ADDRESS:PORT/PROTOCOL."
    )
    var target: String?

    @Option(help: "Only clients with this ADDRESS, or in this block (ADDRESS/LENGTH).")
    var from: String?

    @Option(name: .shortAndLong, help: "text, or json (an object a line).")
    var output = TextOrJSON.text

    @Flag(help: "A live table of the Services and clients with the most new connections.")
    var top = false

    @Flag(help: "Connections that are refused or dropped on this node, and why.")
    var refused = false

    @Option(help: "End after this number of events.")
    var count: Int?

    @Option(help: "End after this time, such as 30s or 5m.")
    var `for`: String?

    @Option(help: "The bytes in which events may wait; beyond, they are lost, and counted.")
    var buffer = 16 << 20

    @OptionGroup var source: SourceOptions
    @OptionGroup var planning: PlanningOptions

    func run() async throws {
        let target = try target.map(WatchTarget.init)
        let client = try from.map(IPPrefix.init(client:))
        let end = try end()
        let configuration = try planning.configuration(source)
        if refused {
            try await watchStopped(target, client, end, configuration)
        } else {
            try await watchConnections(target, client, end, configuration)
        }
    }

    private func watchConnections(
        _ target: WatchTarget?,
        _ client: IPPrefix?,
        _ end: WatchLoop.End,
        _ configuration: KubeProxyConfiguration
    ) async throws {
        let form = try form()
        let names = ConnectionNames(try await Snapshot(source, configuration))
        // A target that no Service has ends the command here.
        _ = try names.filter(target, from: client)
        let hasTraffic = try checkTracking()
        let buffer = buffer
        let source = source
        try await watch { desk in
            desk.put(ConnectionNames(try await Snapshot(source, configuration)))
        } _: { desk in
            try await onThread {
                try WatchLoop(
                    target,
                    from: client,
                    form,
                    until: end,
                    names: names,
                    hasTraffic: hasTraffic,
                    desk: desk
                ).run(buffer: buffer)
            }
        }
    }

    private func watchStopped(
        _ target: WatchTarget?,
        _ client: IPPrefix?,
        _ end: WatchLoop.End,
        _ configuration: KubeProxyConfiguration
    ) async throws {
        guard !top else {
            throw Failure(
                "--top counts connections, and --refused has none; leave out one of them",
                status: EX_USAGE
            )
        }
        let node = try configuration.nodeConfiguration()
        let backend = Result { () throws(CommitError) in
            try Mode.open(configuration, DaemonLog.ofCommand)
        }
        let source = source
        let snapshot = try await Snapshot(source, configuration)
        let isJSON = output == .json
        try await watch { desk in
            desk.put(try await Snapshot(source, configuration))
        } _: { desk in
            try await StoppedLoop(target, from: client, isJSON: isJSON, until: end, desk: desk)
                .run(Explainer(snapshot: snapshot, configuration: node, backend: backend))
        }
    }

    /// Runs a loop until it ends, or has it end with a signal.
    private func watch<News: Sendable>(
        _ read: @escaping @Sendable (WatchDesk<News>) async throws -> Void,
        _ loop: @escaping @Sendable (WatchDesk<News>) async throws -> Void
    ) async throws {
        let desk = WatchDesk<News>()
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for await _ in signals { desk.stop() }
            }
            group.addTask { await Self.readNames(read, desk) }
            try await loop(desk)
            group.cancelAll()
        }
    }

    private func form() throws -> WatchLoop.Form {
        guard top else { return output == .json ? .json : .text }
        guard output == .text else {
            throw Failure("--top is a table, and not JSON; leave out one of them", status: EX_USAGE)
        }
        return .top
    }

    private func end() throws -> WatchLoop.End {
        var end = WatchLoop.End(count: count)
        guard count ?? 1 > 0 else {
            throw Failure("--count: \(count ?? 0) is not 1 or more", status: EX_USAGE)
        }
        if let text = `for` {
            guard let span = TimeSpan(text), span.seconds > 0 else {
                throw Failure("--for: \"\(text)\" is no time such as 30s or 5m", status: EX_USAGE)
            }
            end.duration = .seconds(span.seconds)
        }
        return end
    }

    /// Says what this node does not tell; returns whether it counts packets and bytes.
    private func checkTracking() throws -> Bool {
        let settings = "/proc/sys/net/netfilter/nf_conntrack_"
        if KernelSettings.read(settings + "events") == "0" {
            throw Failure(
                "the kernel reports no connections here: sysctl net.netfilter.nf_conntrack_events is 0; with 2, it"
                    + " does while somebody listens"
            )
        }
        if KernelSettings.read(settings + "acct") == "1" { return true }
        report(
            "this node does not count packets and bytes; \"sysctl -w net.netfilter.nf_conntrack_acct=1\" makes it"
                + " count those of new connections"
        )
        return false
    }

    /// Reads the names again when somebody asks for it, at most every ten seconds.
    private static func readNames<News: Sendable>(
        _ read: (WatchDesk<News>) async throws -> Void,
        _ desk: WatchDesk<News>
    ) async {
        for await _ in desk.unknown.rings {
            do {
                try await read(desk)
            } catch {
                guard !Task.isCancelled else { return }
                report("warning: the Services cannot be read again: \(error)")
            }
            guard (try? await Task.sleep(for: .seconds(10))) != nil else { return }
        }
    }
}

/// Runs the closure, which may block, on a thread of its own, and waits for it.
private func onThread(_ body: @escaping @Sendable () throws -> Void) async throws {
    try await withCheckedThrowingContinuation {
        (continuation: CheckedContinuation<Void, any Error>) in
        startThread { continuation.resume(with: Result { try body() }) }
    }
}
