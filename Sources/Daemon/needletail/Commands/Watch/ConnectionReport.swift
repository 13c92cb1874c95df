internal import Netlink
internal import NetworkTypes
internal import Observability

/// One event of a connection, with names, as `watch` prints it.
struct ConnectionReport: Encodable {
    struct Traffic: Encodable {
        let packets: UInt64
        let bytes: UInt64
    }

    /// UTC, as Kubernetes' MicroTime.
    let at: String
    let event: String
    let client: String
    /// What the endpoint takes for the client, if that is something else.
    let masqueradedAs: String?
    let frontend: String
    /// Nil: no Service has it, as far as is known.
    let service: String?
    let port: String?
    let kind: String?
    /// Nil: nothing was translated.
    let endpoint: String?
    let node: String?
    let zone: String?
    /// From the first packet to the end.
    let seconds: Double?
    /// Whether both sides had answered.
    let isAssured: Bool
    let sent: Traffic?
    let received: Traffic?

    init(
        _ event: ConnectionEvent,
        _ finding: ConnectionHistory.Finding,
        _ names: ConnectionNames,
        at: String
    ) {
        let connection = event.connection
        let name = names.frontend(connection.frontend)
        let place = connection.isTranslated ? names.place(of: connection.endpointAddress) : nil
        self.at = at
        self.event = event.change.rawValue
        client = AddressAndPort(connection.clientAddress, connection.clientPort).description
        masqueradedAs =
            connection.isMasqueraded
            ? AddressAndPort(connection.seenAsAddress, connection.seenAsPort).description : nil
        frontend = connection.frontend.description
        service = name?.service
        port = name.flatMap { $0.port.isEmpty ? nil : $0.port }
        kind = name?.kind
        endpoint =
            connection.isTranslated
            ? AddressAndPort(connection.endpointAddress, connection.endpointPort).description : nil
        node = place?.node
        zone = place?.zone
        seconds = finding.lasted?.seconds
        isAssured = event.isAssured
        sent = event.sent.map { Traffic(packets: $0.packets, bytes: $0.bytes) }
        received = event.received.map { Traffic(packets: $0.packets, bytes: $0.bytes) }
    }
}

/// The events that were lost, as a line of JSON.
struct LossReport: Encodable {
    let at: String
    let event = "lost"
    /// Nil: the kernel does not tell.
    let count: UInt64?

    init(at: String, count: UInt64?) { (self.at, self.count) = (at, count) }

    init(at: String, _ loss: ConnectionEvents.Loss) {
        let known: UInt64? = if case .events(let count) = loss { UInt64(count) } else { nil }
        self.init(at: at, count: known)
    }

    var text: String {
        guard let count else { return "events were lost" }
        return count == 1 ? "1 event was lost" : "\(count) events were lost"
    }
}

/// Columns that grow with their contents; the last cell of a line may be of any length.
struct TextColumns {
    private var widths: [Int]

    init(_ widths: [Int]) { self.widths = widths }

    mutating func line(_ cells: [String]) -> String {
        var text = ""
        for (index, cell) in cells.enumerated() {
            let cell = cell.printable
            guard widths.indices.contains(index) else {
                text += cell
                continue
            }
            widths[index] = max(widths[index], cell.count)
            text += cell.padded(to: widths[index] + 2)
        }
        while text.last == " " { text.removeLast() }
        return text
    }
}

/// Puts reports into columns.
struct ConnectionColumns {
    private var columns: TextColumns
    private let hasTraffic: Bool

    /// - Parameter hasTraffic: whether the node counts packets and bytes
    init(hasTraffic: Bool) {
        self.hasTraffic = hasTraffic
        columns = TextColumns([12, 9, 18, 18, 14, 18, 8, 8] + (hasTraffic ? [10, 10] : []))
    }

    mutating func header() -> String {
        columns.line(
            ["TIME", "EVENT", "CLIENT", "FRONTEND", "SERVICE", "ENDPOINT", "NODE", "LASTED"]
                + (hasTraffic ? ["SENT", "RECEIVED"] : []) + [""]
        )
    }

    mutating func line(_ report: ConnectionReport) -> String {
        let port = report.port.map { ":\($0)" } ?? ""
        let zone = report.zone.map { " (\($0))" } ?? ""
        let traffic = [report.sent, report.received].map { $0.map(Self.text) ?? "-" }
        let cells = [
            String(report.at.dropFirst(11).prefix(12)),
            report.event,
            report.client,
            report.frontend,
            report.service.map { $0 + port } ?? "-",
            report.endpoint ?? "-",
            report.node.map { $0 + zone } ?? "-",
            report.seconds.map(Self.text) ?? "-",
        ]
        return columns.line(cells + (hasTraffic ? traffic : []) + [Self.remark(report)])
    }

    private static func remark(_ report: ConnectionReport) -> String {
        switch report.event {
        case "new": report.masqueradedAs.map { "masqueraded as \($0)" } ?? ""
        case "closed" where !report.isAssured: "never established"
        case "destroyed" where !report.isAssured && report.frontend.hasSuffix("/tcp"):
            "never established"
        default: ""
        }
    }

    /// The text of a time: `1.234s`, `4m05s`, `2h03m`.
    static func text(_ seconds: Double) -> String {
        guard seconds >= 60 else {
            let millis = Int((seconds * 1000).rounded())
            return "\(millis / 1000).\(String("00\(millis % 1000)".suffix(3)))s"
        }
        let whole = Int(clamping: Int64(min(seconds, 1e15)))
        let (hours, minutes) = (whole / 3600, whole / 60 % 60)
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return hours > 0 ? "\(hours)h\(two(minutes))m" : "\(minutes)m\(two(whole % 60))s"
    }

    private static func text(_ traffic: ConnectionReport.Traffic) -> String {
        "\(traffic.packets)p \(bytes(traffic.bytes))"
    }

    /// The text of a number of bytes: `412B`, `1.2kB`, `34MB`.
    static func bytes(_ count: UInt64) -> String {
        var (value, units) = (Double(count), ["B", "kB", "MB", "GB", "TB", "PB", "EB"][...])
        while value >= 1000, units.count > 1 {
            value /= 1000
            units = units.dropFirst()
        }
        let unit = units.first ?? ""
        guard count >= 1000, value < 10 else { return "\(Int(value))\(unit)" }
        return "\(Int(value)).\(Int(value * 10) % 10)\(unit)"
    }
}
