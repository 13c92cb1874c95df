internal import NetworkTypes

/// A picture of the way of one packet: a lane for each place, a row for each hop.
///
/// The colour of a row tells what the packet is like there: as the client has sent it, translated,
/// or in a tunnel. Client ports are left out, so that a picture does not change with them.
struct WayPicture {
    private struct Row {
        let lane: Int
        let label: String
        let text: String
        let color: String
    }

    private static let laneWidth = 130
    private static let rowHeight = 34
    private static let top = 78
    private static let textWidth = 480
    private static let colors = (sent: "#4c78a8", translated: "#54a24b", tunnel: "#e45756")

    private let title: String
    private let lanes: [String]
    private let rows: [Row]

    /// Draws the first packet of a connection.
    init(_ title: String, _ sightings: [Sighting]) {
        self.title = title
        var lanes: [String] = []
        for sighting in sightings where !lanes.contains(sighting.place) {
            lanes.append(sighting.place)
        }
        self.lanes = lanes
        let sent = sightings.first?.packet.layers.last
        rows = sightings.map { sighting in
            let packet = sighting.packet
            let isSent = packet.layers.count == 1 && packet.layers.last == sent
            // The CNI plugins draw lots for these names.
            let interface = sighting.interface.hasPrefix("veth") ? "veth…" : sighting.interface
            return Row(
                lane: lanes.firstIndex(of: sighting.place) ?? 0,
                label: interface + (sighting.isOutgoing ? " →" : ""),
                text: packet.textWithoutClientPort,
                color: packet.layers.count > 1
                    ? Self.colors.tunnel : isSent ? Self.colors.sent : Self.colors.translated
            )
        }
    }

    private var width: Int { 20 + lanes.count * Self.laneWidth + Self.textWidth }
    private var height: Int { Self.top + rows.count * Self.rowHeight + 46 }

    var svg: String {
        let opening = """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width) \(height)" \
            width="\(width)" height="\(height)" font-family="sans-serif" font-size="13">
            <title>\(title.markup)</title>
            <rect width="\(width)" height="\(height)" fill="white"/>
            <text x="20" y="26" font-size="16" font-weight="bold">\(title.markup)</text>
            """
        return ([opening] + lanes.indices.map(lane) + rows.indices.map(row) + [legend, "</svg>"])
            .joined(separator: "\n") + "\n"
    }

    private func center(_ lane: Int) -> Int { 20 + lane * Self.laneWidth + Self.laneWidth / 2 }

    private func lane(_ index: Int) -> String {
        let bottom = Self.top + rows.count * Self.rowHeight
        return """
            <text x="\(center(index))" y="56" text-anchor="middle" font-weight="bold">\(lanes[index].markup)</text>
            <line x1="\(center(index))" y1="64" x2="\(center(index))" y2="\(bottom)" stroke="#ddd"/>
            """
    }

    private func row(_ index: Int) -> String {
        let row = rows[index]
        let (x, y) = (center(row.lane), Self.top + index * Self.rowHeight)
        var parts: [String] = []
        if index > 0 {
            let before = center(rows[index - 1].lane)
            parts.append(
                """
                <path d="M\(before) \(y - Self.rowHeight + 24) L\(x) \(y)" stroke="\(row.color)" \
                stroke-width="1.5" fill="none"/>
                """
            )
        }
        parts.append(
            """
            <rect x="\(x - 55)" y="\(y)" width="110" height="24" rx="4" fill="white" \
            stroke="\(row.color)" stroke-width="1.5"/>
            <text x="\(x)" y="\(y + 17)" text-anchor="middle">\(row.label.markup)</text>
            <text x="\(20 + lanes.count * Self.laneWidth + 10)" y="\(y + 17)" fill="\(row.color)" \
            font-family="monospace" font-size="12">\(row.text.markup)</text>
            """
        )
        return parts.joined(separator: "\n")
    }

    private var legend: String {
        let entries = [
            (Self.colors.sent, "as sent"), (Self.colors.translated, "translated by needletail"),
            (Self.colors.tunnel, "in a tunnel"),
        ]
        return entries.enumerated().map { index, entry in
            """
            <text x="\(20 + index * 190)" y="\(height - 14)" fill="\(entry.0)">■ \(entry.1)</text>
            """
        }.joined(separator: "\n")
    }
}

extension SeenPacket {
    /// The text without the port of the client that has opened the connection.
    fileprivate var textWithoutClientPort: String {
        layers.reversed().reduce("") { inner, layer in
            if let tunnel = layer.tunnel { return "\(layer.text) \(tunnel) [\(inner)]" }
            let end = layer.text.split(separator: " > ").last.map(String.init) ?? ""
            return "\(layer.source) > \(end)"
        }
    }
}
