internal import FoundationEssentials
internal import Glibc
internal import NetworkTypes

/// A picture of what a change takes in growing clusters, with logarithmic axes.
struct LatencyPlot {
    private let rows: [DaemonBench.Row]

    init(_ rows: [DaemonBench.Row]) { self.rows = rows }

    /// kube-proxy 1.36 in mode nftables with a kube-apiserver 1.36 on two processors, five endpoints a
    /// Service: the median in milliseconds.
    private static let kubeProxy: [(services: Double, milliseconds: Double)] = [
        (1_000, 130), (10_000, 5_400),
    ]

    private static let (width, height): (Double, Double) = (720, 380)
    private static let (left, right, top, bottom): (Double, Double, Double, Double) = (
        90, 40, 50, 60
    )
    private static let (services, time) = ((low: 700.0, high: 70_000.0), (low: 0.1, high: 20_000.0))

    private func x(_ services: Double) -> Double {
        let share = log(services / Self.services.low) / log(Self.services.high / Self.services.low)
        return Self.left + share * (Self.width - Self.left - Self.right)
    }

    private func y(_ milliseconds: Double) -> Double {
        let share = log(milliseconds / Self.time.low) / log(Self.time.high / Self.time.low)
        return Self.height - Self.bottom - share * (Self.height - Self.top - Self.bottom)
    }

    var svg: String {
        let (width, height) = (Int(Self.width), Int(Self.height))
        var lines = [
            """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width) \(height)" width="\(width)" \
            height="\(height)" font-family="sans-serif" font-size="13">
            """, "<rect width=\"\(width)\" height=\"\(height)\" fill=\"#fff\"/>",
            text(Self.left, 26, "From a change in the API until the kernel has it", "#111", 16),
        ]
        for (value, label) in [
            (0.1, "0.1 ms"), (1, "1 ms"), (10, "10 ms"), (100, "100 ms"), (1_000, "1 s"),
            (10_000, "10 s"),
        ] {
            lines.append(
                line([(Self.services.low, value), (Self.services.high, value)], "#ddd", 1)
            )
            lines.append(text(Self.left - 8, y(value) + 4, label, "#444", 12, anchor: "end"))
        }
        for (value, label) in [(1_000.0, "1,000"), (10_000, "10,000"), (50_000, "50,000 Services")]
        {
            lines.append(
                text(x(value), Self.height - Self.bottom + 22, label, "#444", 12, anchor: "middle")
            )
        }
        let own = rows.map { (Double($0.services), $0.median) }
        let slow = rows.map { (Double($0.services), $0.slowest) }
        lines += curve(Self.kubeProxy, "#c0392b", "kube-proxy, nftables", above: 14)
        lines += curve(slow, "#7fb3d5", "needletail, 99 of 100", above: 12)
        lines += curve(own, "#1f618d", "needletail, median", above: -20)
        return (lines + ["</svg>", ""]).joined(separator: "\n")
    }

    private func curve(
        _ points: [(Double, Double)],
        _ color: String,
        _ label: String,
        above: Double
    ) -> [String] {
        guard let last = points.last else { return [] }
        let dots = points.map {
            "<circle cx=\"\(rounded(x($0.0)))\" cy=\"\(rounded(y($0.1)))\" r=\"4\" fill=\"\(color)\"/>"
        }
        return [line(points, color, 2.5)] + dots + [
            text(x(last.0), y(last.1) - above, label, color, 13, anchor: "end")
        ]
    }

    private func line(_ points: [(Double, Double)], _ color: String, _ width: Double) -> String {
        let path = points.map { "\(rounded(x($0.0))),\(rounded(y($0.1)))" }.joined(separator: " ")
        return
            "<polyline points=\"\(path)\" fill=\"none\" stroke=\"\(color)\" stroke-width=\"\(width)\"/>"
    }

    private func text(
        _ x: Double,
        _ y: Double,
        _ text: String,
        _ color: String,
        _ size: Int,
        anchor: String = "start"
    ) -> String {
        """
        <text x="\(rounded(x))" y="\(rounded(y))" fill="\(color)" font-size="\(size)" \
        text-anchor="\(anchor)">\(text.markup)</text>
        """
    }

    private func rounded(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
}
