internal import Netlink
internal import NetworkTypes

/// Who has opened how many connections to which Service, and how many a second.
struct TopTalkers {
    fileprivate struct Pair: Hashable {
        let service: String
        /// Nil stands for the clients for which there was no place.
        let client: IPAddress?
    }

    fileprivate struct Count {
        var new = 0
        /// Since the table was made last.
        var latest = 0
        var open = 0
        var bytes: UInt64 = 0
    }

    private var counts: [Pair: Count] = [:]
    private var total = Count()
    private var lost: UInt64 = 0
    private var hasUnknownLosses = false
    private let limit: Int
    private let hasTraffic: Bool

    static let shownRows = 20

    /// - Parameters:
    ///   - limit: how many pairs of Service and client are told apart
    ///   - hasTraffic: whether the node counts bytes
    init(limit: Int = 20_000, hasTraffic: Bool) {
        (self.limit, self.hasTraffic) = (limit, hasTraffic)
    }

    /// - Parameter wasOpen: whether its beginning was seen, for one that is gone
    mutating func add(_ event: ConnectionEvent, service: String, wasOpen: Bool) {
        var pair = Pair(service: service, client: event.connection.clientAddress)
        if counts[pair] == nil, counts.count >= limit {
            pair = Pair(service: service, client: nil)
        }
        counts[pair, default: Count()].add(event, wasOpen: wasOpen)
        total.add(event, wasOpen: wasOpen)
    }

    mutating func add(_ loss: ConnectionEvents.Loss) {
        switch loss {
        case .none: break
        case .events(let count): lost += UInt64(count)
        case .some: hasUnknownLosses = true
        }
    }

    /// Returns the table, and begins a new interval.
    ///
    /// - Parameter interval: the time since the last table, in seconds
    mutating func table(at time: String, interval: Double) -> [String] {
        let rows = counts.sorted { one, other in
            (other.value.latest, other.value.new, one.key.service, one.key.text)
                < (one.value.latest, one.value.new, other.key.service, other.key.text)
        }
        var summary =
            "\(time)  \(Self.rate(total.latest, interval)) new/s, \(total.new) new, \(total.open) open,"
            + " \(lost) events lost"
        if hasUnknownLosses { summary += ", and others" }
        let shown = rows.prefix(Self.shownRows)
        let service = max(7, shown.map(\.key.service.utf8.count).max() ?? 0)
        let client = max(6, shown.map(\.key.text.utf8.count).max() ?? 0)
        func line(_ cells: [String]) -> String {
            var text =
                Self.padded(cells[0], service, isNumber: false) + "  "
                + Self.padded(cells[1], client, isNumber: false)
            for cell in cells[2...] { text += "  " + Self.padded(cell, 8, isNumber: true) }
            return text
        }
        let head = ["SERVICE", "CLIENT", "NEW/S", "NEW", "OPEN"] + (hasTraffic ? ["BYTES"] : [])
        var lines = [summary, line(head)]
        for (pair, count) in shown {
            var cells = [
                pair.service, pair.text, Self.rate(count.latest, interval), "\(count.new)",
                "\(count.open)",
            ]
            if hasTraffic { cells.append(ConnectionColumns.bytes(count.bytes)) }
            lines.append(line(cells))
        }
        if rows.count > shown.count { lines.append("and \(rows.count - shown.count) more") }
        for index in counts.values.indices { counts.values[index].latest = 0 }
        total.latest = 0
        return lines.map(\.printable)
    }

    private static func rate(_ count: Int, _ interval: Double) -> String {
        guard interval > 0 else { return "0" }
        return "\(Int((Double(count) / interval).rounded()))"
    }

    private static func padded(_ text: String, _ width: Int, isNumber: Bool) -> String {
        let space = String(repeating: " ", count: max(0, width - text.utf8.count))
        return isNumber ? space + text : text + space
    }
}

extension TopTalkers.Pair {
    fileprivate var text: String { client?.description ?? "others" }
}

extension TopTalkers.Count {
    fileprivate mutating func add(_ event: ConnectionEvent, wasOpen: Bool) {
        switch event.change {
        case .new:
            new += 1
            latest += 1
            open += 1
        case .destroyed:
            if wasOpen { open -= 1 }
            bytes &+= (event.sent?.bytes ?? 0) &+ (event.received?.bytes ?? 0)
        case .assured, .closed: break
        }
    }
}
