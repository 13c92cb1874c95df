internal import ArgumentParser
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

            Ends with --count or --for, or with SIGINT or SIGTERM. Exit status: 0; 1 failure.
            """
    )

    enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

    @Argument(
        help: "NAMESPACE/NAME, NAMESPACE/NAME:PORT, ADDRESS, ADDRESS:PORT or ADDRESS:PORT/PROTOCOL."
    )
    var target: String?

    @Option(help: "Only clients with this ADDRESS, or in this block (ADDRESS/LENGTH).")
    var from: String?

    @Option(name: .shortAndLong, help: "text, or json (an object a line).")
    var output = Format.text

    @Flag(help: "A live table of the Services and clients with the most new connections.")
    var top = false

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
        let form = try form()
        let end = try end()
        let configuration = try planning.configuration(source)
        let names = ConnectionNames(try await Snapshot(source, configuration))
        // A target that no Service has ends the command here.
        _ = try names.filter(target, from: client)
        let desk = WatchDesk()
        let hasTraffic = try checkTracking()
        let source = source
        let buffer = buffer
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for await _ in await UnixSignalsSequence(trapping: .sigint, .sigterm) {
                    desk.stop()
                }
            }
            group.addTask { await Self.readNames(source, configuration, desk) }
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
    private static func readNames(
        _ source: SourceOptions,
        _ configuration: KubeProxyConfiguration,
        _ desk: WatchDesk
    ) async {
        for await _ in desk.unknown.rings {
            do {
                desk.put(ConnectionNames(try await Snapshot(source, configuration)))
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
