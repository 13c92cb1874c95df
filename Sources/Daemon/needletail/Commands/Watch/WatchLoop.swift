internal import Glibc
internal import Netlink
internal import NetworkTypes
internal import Observability
internal import Synchronization
internal import Threads

/// What a command that watches shares with the tasks around it.
///
/// - Note: `News` are the names of what is seen, as the cluster has them.
final class WatchDesk<News: Sendable>: Sendable {
    private struct State {
        var news: News?
        var isStopping = false
    }

    private let state = Mutex(State())
    /// Rings when a connection leads to an address that has no name.
    let unknown = Bell()

    func stop() { state.withLock { $0.isStopping = true } }

    var isStopping: Bool { state.withLock(\.isStopping) }

    func put(_ news: News) { state.withLock { $0.news = news } }

    /// Returns what is newer than what the last call has returned.
    func take() -> News? {
        state.withLock { state in
            defer { state.news = nil }
            return state.news
        }
    }
}

/// Reads events and prints them, until it is to end.
struct WatchLoop {
    enum Form: Sendable { case text, json, top }

    /// When the loop ends by itself.
    struct End: Sendable {
        var count: Int?
        var duration: Duration?
    }

    private let target: WatchTarget?
    private let client: IPPrefix?
    private let form: Form
    private let end: End
    private let desk: WatchDesk<ConnectionNames>
    private var names: ConnectionNames
    private var history = ConnectionHistory()
    private var columns: ConnectionColumns
    private var top: TopTalkers
    private var output = TextOutput()
    private var printed = 0
    /// What has no name even in names that were read after it was seen.
    private var nameless: Set<AddressAndPort> = []

    init(
        _ target: WatchTarget?,
        from client: IPPrefix?,
        _ form: Form,
        until end: End,
        names: ConnectionNames,
        hasTraffic: Bool,
        desk: WatchDesk<ConnectionNames>
    ) {
        (self.target, self.client, self.form, self.end) = (target, client, form, end)
        (self.names, self.desk) = (names, desk)
        columns = ConnectionColumns(hasTraffic: hasTraffic)
        top = TopTalkers(hasTraffic: hasTraffic)
    }

    /// How often the table is drawn, in seconds.
    private static let interval = 1.0
    /// How long a signal may go unnoticed, in milliseconds.
    private static let patience: Int32 = 100

    /// - Parameter buffer: the size of the receive buffer in bytes
    consuming func run(buffer: Int) throws {
        var events: ConnectionEvents
        do {
            events = try ConnectionEvents(names.filter(target, from: client), buffer: buffer)
        } catch let error as NetlinkError {
            let hint = error.isPermissionDenied ? "; it needs the capability NET_ADMIN" : ""
            throw Failure("\(error)\(hint)")
        }
        let clock = ContinuousClock()
        let start = clock.now
        var drawn = start
        if form == .text { output.write(columns.header()) }
        output.flush()
        while !desk.isStopping, !output.isClosed, printed < end.count ?? .max,
            end.duration.map({ clock.now - start < $0 }) ?? true
        {
            if let names = desk.take() { try take(names, &events) }
            let loss = try receive(&events)
            if loss != .none { add(loss) }
            output.flush()
            let pause = (clock.now - drawn).seconds
            guard form == .top, output.isTerminal, pause >= Self.interval else { continue }
            drawn = clock.now
            draw(interval: pause)
        }
        if form == .top { draw(interval: (clock.now - drawn).seconds) }
        output.flush()
    }

    private mutating func receive(_ events: inout ConnectionEvents) throws -> ConnectionEvents.Loss
    {
        var time: String?
        do {
            return try events.receive(milliseconds: Self.patience) { event in
                // The events of one reading have one time; to make its text takes long.
                let text = time ?? Moment.now.text
                time = text
                add(event, .now, text)
            }
        } catch {
            throw Failure("\(error)")
        }
    }

    private mutating func add(
        _ event: ConnectionEvent,
        _ now: ContinuousClock.Instant,
        _ time: String
    ) {
        guard isNamed(event.connection), printed < end.count ?? .max else { return }
        let finding = history.add(event, at: now)
        guard !finding.isRepeated else { return }
        printed += 1
        if form == .top {
            let service = names.frontend(event.connection.frontend)?.label
            top.add(event, service: service ?? "-", wasOpen: finding.wasOpen)
            return
        }
        let report = ConnectionReport(event, finding, names, at: time)
        output.write(form == .json ? jsonText(report) : columns.line(report))
    }

    private mutating func add(_ loss: ConnectionEvents.Loss) {
        let report = LossReport(at: Moment.now.text, loss)
        switch form {
        case .text: output.write(report.text)
        case .json: output.write(jsonText(report))
        case .top: top.add(loss)
        }
    }

    /// Whether a connection is a Service's, or to the frontend that was asked for.
    ///
    /// Other programs translate connections, too.
    private mutating func isNamed(_ connection: TrackedConnection) -> Bool {
        let hasFrontend = names.frontend(connection.frontend) != nil
        let hasEndpoint =
            !connection.isTranslated || names.place(of: connection.endpointAddress) != nil
        if !hasFrontend {
            ask(for: connection.frontend.place)
        } else if !hasEndpoint {
            ask(for: AddressAndPort(connection.endpointAddress, connection.endpointPort))
        }
        return hasFrontend || target != nil
    }

    /// Has the names read again; once for each place, since it may be no Service's.
    private mutating func ask(for place: AddressAndPort) {
        if nameless.count >= Self.mostNameless { nameless = [] }
        guard nameless.insert(place).inserted else { return }
        desk.unknown.ring()
    }

    private static let mostNameless = 4096

    private mutating func take(_ names: ConnectionNames, _ events: inout ConnectionEvents) throws {
        self.names = names
        // A Service that is gone keeps its filter, since its connections may still be there.
        guard let filter = try? names.filter(target, from: client) else { return }
        do {
            try events.change(filter)
        } catch {
            throw Failure("\(error)")
        }
    }

    private mutating func draw(interval: Double) {
        let time = String(Moment.now.text.dropFirst(11).prefix(8))
        // Home, and clear what is below.
        if output.isTerminal { output.write("\u{1B}[H\u{1B}[J", ending: "") }
        for line in top.table(at: time, interval: interval) { output.write(line) }
        output.flush()
    }
}

/// Standard output, in large pieces.
struct TextOutput {
    private var waiting: [UInt8] = []
    /// Whether nobody reads any more.
    private(set) var isClosed = false
    let isTerminal = isatty(STDOUT_FILENO) == 1

    mutating func write(_ text: String, ending: String = "\n") {
        waiting += text.utf8
        waiting += ending.utf8
        if waiting.count >= 1 << 16 { flush() }
    }

    /// Waits until everything is written.
    mutating func flush() {
        isClosed = isClosed || !writeAll(waiting, to: STDOUT_FILENO)
        waiting.removeAll(keepingCapacity: true)
    }
}
