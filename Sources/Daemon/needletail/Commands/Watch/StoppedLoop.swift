internal import Backend
internal import Glibc
internal import NFTablesKernel
internal import Netlink
internal import NetworkTypes
internal import Observability
internal import Threads

/// Prints the packets that open connections and are stopped on this node, each with the reason.
struct StoppedLoop {
    let target: WatchTarget?
    let client: IPPrefix?
    let isJSON: Bool
    let end: WatchLoop.End
    let desk: WatchDesk<Snapshot>
    private var output = TextOutput()
    private var columns = TextColumns([12, 9, 18, 20, 14])

    init(
        _ target: WatchTarget?,
        from client: IPPrefix?,
        isJSON: Bool,
        until end: WatchLoop.End,
        desk: WatchDesk<Snapshot>
    ) {
        (self.target, self.client, self.isJSON) = (target, client, isJSON)
        (self.end, self.desk) = (end, desk)
    }

    /// How often the kernel is asked, and how much longer than that was asked and explained is waited.
    private static let (pause, rest) = (Duration.milliseconds(250), 20)

    /// - Parameter explainer: of the Services as they are; they are asked for again where a packet has
    ///   no name
    consuming func run(_ explainer: Explainer) async throws {
        var reasons = StoppedReasons(explainer)
        var watches = try watches(reasons)
        let clock = ContinuousClock()
        let start = clock.now
        var printed = 0
        if !isJSON {
            output.write(
                columns.line(["TIME", "EVENT", "CLIENT", "FRONTEND", "SERVICE", "REASON"])
            )
        }
        output.flush()
        while !desk.isStopping, !output.isClosed, printed < end.count ?? .max,
            end.duration.map({ clock.now - start < $0 }) ?? true
        {
            let begin = clock.now
            if let snapshot = desk.take() {
                reasons = StoppedReasons(explainer.with(snapshot))
                try change(&watches, reasons)
            }
            for watch in watches {
                let (packets, missed) = try translating { () throws(NetlinkError) in
                    try watch.read()
                }
                let left = (end.count ?? .max) - printed
                printed += await show(Array(packets.prefix(left)), reasons)
                if missed > 0 { add(missed) }
            }
            output.flush()
            let work = clock.now - begin
            try? await Task.sleep(for: max(Self.pause, work * Self.rest))
        }
        output.flush()
    }

    private func watches(_ reasons: StoppedReasons) throws -> [StoppedPackets] {
        let places = try reasons.places(target)
        return try IPFamily.allCases.compactMap { family in
            let part = places.part(family)
            guard !part.isEmpty, client.map({ $0.family == family }) ?? true else { return nil }
            return try translating { () throws(NetlinkError) in
                try StoppedPackets(family, to: part, from: client)
            }
        }
    }

    private func change(_ watches: inout [StoppedPackets], _ reasons: StoppedReasons) throws {
        // A Service that is gone keeps its places, since clients may still ask for them.
        guard let places = try? reasons.places(target) else { return }
        for watch in watches {
            try translating { () throws(NetlinkError) in
                try watch.change(to: places.part(watch.family))
            }
        }
    }

    private func translating<Value>(_ body: () throws(NetlinkError) -> Value) throws -> Value {
        do throws(NetlinkError) {
            return try body()
        } catch {
            let hint = error.isPermissionDenied ? "; it needs the capability NET_ADMIN" : ""
            throw Failure("\(error)\(hint)")
        }
    }

    private mutating func show(_ packets: [StoppedPacket], _ reasons: StoppedReasons) async -> Int {
        guard !packets.isEmpty else { return 0 }
        let now = Moment.now
        let found = await reasons.explain(packets.map(\.packet))
        for (packet, reason) in zip(packets, found) {
            if reason.service == nil { desk.unknown.ring() }
            let report = StoppedReport(
                at: now.text(of: now.instant - packet.age),
                packet.packet,
                reason
            )
            output.write(isJSON ? jsonText(report) : columns.line(report.cells))
        }
        return packets.count
    }

    private mutating func add(_ missed: UInt64) {
        let report = LossReport(at: Moment.now.text, count: missed)
        output.write(isJSON ? jsonText(report) : report.text)
    }
}

/// A stopped packet, as `watch --refused` prints it.
struct StoppedReport: Encodable {
    let at: String
    /// `refused`, `dropped`, `unroutable`, or `stopped` where the rules do not tell which.
    let event: String
    let client: String
    /// The interface that received it; nil if a process of the node has sent it.
    let interface: String?
    let frontend: String
    /// Nil: no Service has the frontend, as far as is known.
    let service: String?
    let port: String?
    let kind: String?
    let reason: String
    /// Those that decided, as text.
    let rules: [String]

    init(at: String, _ packet: FirstPacket, _ reason: StoppedReason) {
        self.at = at
        event = reason.event.rawValue
        client = AddressAndPort(packet.source, packet.sourcePort).description
        interface = packet.interface
        frontend = packet.frontend.description
        service = reason.service?.service
        port = reason.service.flatMap { $0.port.isEmpty ? nil : $0.port }
        kind = reason.service?.kind
        self.reason = reason.text
        rules = reason.rules
    }

    fileprivate var cells: [String] {
        let label = service.map { name in name + (port.map { ":\($0)" } ?? "") }
        return [
            String(at.dropFirst(11).prefix(12)), event, client, frontend, label ?? "-", reason,
        ]
    }
}
