internal import NetworkTypes
internal import Synchronization

/// A family of metrics: one name, with a value for each combination of labels.
package protocol MetricFamily: Sendable {
    var name: String { get }
    var help: String { get }
    var kind: MetricKind { get }
    var labels: [String] { get }
    /// Returns the current values; a suffix is added to the name of the family.
    func samples() -> [Sample]
}

package enum MetricKind: String, Sendable { case counter, gauge, histogram }

package struct Sample: Sendable {
    let suffix: String
    let labels: [(name: String, value: String)]
    let value: Double
}

package final class Counter: MetricFamily {
    package let name: String
    package let help: String
    package let kind = MetricKind.counter
    package var labels: [String] { cells.labels }
    private let cells: Cells<Double>

    /// Makes a counter.
    ///
    /// - Parameters: - name: must end with `_total` - initial: label values to show before the
    ///   first count
    package init(
        _ name: String,
        _ help: String,
        labels: [String] = [],
        initial: [[String]] = []
    ) {
        (self.name, self.help) = (name, help)
        cells = Cells(labels, initial, 0)
    }

    package func add(_ amount: Double = 1, _ labels: String...) {
        cells.update(labels) { $0 += amount }
    }

    /// Sets a value that is counted elsewhere.
    func replace(_ value: Double) { cells.update([]) { $0 = value } }

    func replace(_ values: [(labels: [String], value: Double)]) { cells.replace(values) }

    package func samples() -> [Sample] {
        cells.all().map { Sample(suffix: "", labels: $0, value: $1) }
    }
}

package final class Gauge: MetricFamily {
    package let name: String
    package let help: String
    package let kind = MetricKind.gauge
    package var labels: [String] { cells.labels }
    private let cells: Cells<Double>

    package init(
        _ name: String,
        _ help: String,
        labels: [String] = [],
        initial: [[String]] = []
    ) {
        (self.name, self.help) = (name, help)
        cells = Cells(labels, initial, 0)
    }

    package func set(_ value: Double, _ labels: String...) {
        cells.update(labels) { $0 = value }
    }

    /// Replaces the values of all label combinations.
    package func replace(_ values: [(labels: [String], value: Double)]) { cells.replace(values) }

    package func samples() -> [Sample] {
        cells.all().map { Sample(suffix: "", labels: $0, value: $1) }
    }
}

package final class Histogram: MetricFamily {
    private struct Distribution {
        /// The count of each bucket alone; the last bucket holds all larger values.
        var counts: [UInt64]
        var sum = 0.0
    }

    package let name: String
    package let help: String
    package let kind = MetricKind.histogram
    private let bounds: [Double]
    package var labels: [String] { cells.labels }
    private let cells: Cells<Distribution>

    package init(
        _ name: String,
        _ help: String,
        buckets bounds: [Double],
        labels: [String] = [],
        initial: [[String]] = []
    ) {
        (self.name, self.help, self.bounds) = (name, help, bounds)
        cells = Cells(
            labels,
            initial,
            Distribution(counts: Array(repeating: 0, count: bounds.count + 1))
        )
    }

    package func observe(_ value: Double, _ labels: String...) {
        let index = bounds.firstIndex { value <= $0 } ?? bounds.count
        cells.update(labels) { distribution in
            distribution.counts[index] += 1
            distribution.sum += value
        }
    }

    package func samples() -> [Sample] {
        cells.all().flatMap { labels, distribution in
            var total: UInt64 = 0
            var samples: [Sample] = []
            for (bound, count) in zip(bounds.map(Optional.some) + [nil], distribution.counts) {
                total += count
                let edge = bound.map(Exposition.number) ?? "+Inf"
                samples.append(
                    Sample(
                        suffix: "_bucket",
                        labels: labels + [("le", edge)],
                        value: Double(total)
                    )
                )
            }
            return samples + [
                Sample(suffix: "_sum", labels: labels, value: distribution.sum),
                Sample(suffix: "_count", labels: labels, value: Double(total)),
            ]
        }
    }
}

/// Values by label values.
///
/// Label values are made `printable`: control characters would reach terminals, and the formats
/// cannot escape most of them. Label values that become equal in this way share one metric value.
private final class Cells<Value: Sendable>: Sendable {
    let labels: [String]
    private let initial: Value
    private let values: Mutex<[[String]: Value]>

    init(_ labels: [String], _ shown: [[String]], _ initial: Value) {
        (self.labels, self.initial) = (labels, initial)
        let keys = labels.isEmpty ? [[]] : shown
        values = Mutex(Dictionary(uniqueKeysWithValues: keys.map { ($0, initial) }))
    }

    func update(_ key: [String], _ body: (inout sending Value) -> Void) {
        precondition(key.count == labels.count, "a metric has the labels \(labels)")
        let name = key.map(\.printable)
        values.withLock { values in
            var value = values[name] ?? initial
            body(&value)
            values[name] = value
        }
    }

    func replace(_ new: [(labels: [String], value: Value)]) {
        let map = Dictionary(
            new.map { ($0.labels.map(\.printable), $0.value) },
            uniquingKeysWith: { $1 }
        )
        values.withLock { $0 = map }
    }

    func all() -> [(labels: [(name: String, value: String)], Value)] {
        values.withLock { $0 }
            .sorted { $0.key.lexicographicallyPrecedes($1.key) }
            .map { (zip(labels, $0.key).map { ($0, $1) }, $0.value) }
    }
}

extension Duration {
    package var seconds: Double { self / .seconds(1) }
}

/// The text formats of Prometheus and OpenMetrics.
package enum Exposition {
    package static let prometheusType = "text/plain; version=0.0.4; charset=utf-8"
    package static let openMetricsType =
        "application/openmetrics-text; version=1.0.0; charset=utf-8"

    package static func text(_ families: [any MetricFamily], openMetrics: Bool) -> String {
        var text = ""
        for family in families {
            let samples = family.samples()
            // OpenMetrics names the family of a counter without its suffix.
            let isCounter = openMetrics && family.kind == .counter
            let name = isCounter ? String(family.name.dropLast("_total".count)) : family.name
            text +=
                "# HELP \(name) \(openMetrics ? escaped(family.help) : helpText(family.help))\n# TYPE \(name) \(family.kind)\n"
            for sample in samples {
                text += family.name + sample.suffix + labels(sample) + " "
                text += number(sample.value) + "\n"
            }
        }
        return openMetrics ? text + "# EOF\n" : text
    }

    private static func labels(_ sample: Sample) -> String {
        guard !sample.labels.isEmpty else { return "" }
        let pairs = sample.labels.map { name, value in
            "\(name)=\"\(escaped(value))\""
        }
        return "{\(pairs.joined(separator: ","))}"
    }

    /// Escapes label values in both formats, and help texts in OpenMetrics.
    private static func escaped(_ value: String) -> String {
        value.escaping { scalar in
            switch scalar {
            case "\\": "\\\\"
            case "\"": "\\\""
            case "\n": "\\n"
            default: nil
            }
        }
    }

    /// Escapes help texts in Prometheus' format, where quotation marks stay as they are.
    private static func helpText(_ text: String) -> String {
        text.escaping { $0 == "\\" ? "\\\\" : $0 == "\n" ? "\\n" : nil }
    }

    static func number(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? String(Int(value)) : String(value)
    }
}
