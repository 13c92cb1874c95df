import Observability
import TestSupport
import Testing

/// https://prometheus.io/docs/instrumenting/exposition_formats, and OpenMetrics 1.0.
@Suite struct ExpositionTests {
    private func lines(_ families: any MetricFamily..., openMetrics: Bool = false) -> [String] {
        Exposition.text(families, openMetrics: openMetrics).split(separator: "\n").map(String.init)
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `buckets of a histogram count all that is not larger`(seed: UInt64) {
        var random = Seeded(seed)
        let bounds = [0.25, 1, 5]
        let histogram = Histogram("h", "Help.", buckets: bounds, labels: ["l"])
        // Values of quarters have exact sums, and some are equal to a bound.
        let values = (0..<Int.random(in: 1...40, using: &random)).map { _ in
            Double(Int.random(in: 0...40, using: &random)) / 4
        }
        for value in values { histogram.observe(value, "a") }
        let buckets = bounds.map { bound in
            (bound == 0.25 ? "0.25" : "\(Int(bound))", values.count { $0 <= bound })
        }
        var expected = ["# HELP h Help.", "# TYPE h histogram"]
        for (edge, count) in buckets + [("+Inf", values.count)] {
            expected.append("h_bucket{l=\"a\",le=\"\(edge)\"} \(count)")
        }
        let sum = values.reduce(0, +)
        let text = sum == sum.rounded() ? "\(Int(sum))" : "\(sum)"
        expected += ["h_sum{l=\"a\"} \(text)", "h_count{l=\"a\"} \(values.count)"]
        #expect(lines(histogram) == expected)
    }

    @Test func `a family without labels is there from the beginning, one with labels as told`() {
        #expect(lines(Counter("a_total", "Help.")).last == "a_total 0")
        #expect(lines(Counter("a_total", "Help.", labels: ["l"])).count == 2)
        let initial = Gauge("g", "Help.", labels: ["l"], initial: [["x"], ["a"]])
        #expect(lines(initial).dropFirst(2) == ["g{l=\"a\"} 0", "g{l=\"x\"} 0"])
    }

    @Test func `values that are replaced leave nothing behind`() {
        let gauge = Gauge("g", "Help.", labels: ["l", "m"])
        gauge.set(1, "old", "x")
        gauge.replace([(["new", "y"], 2), (["new", "x"], 3), (["new", "y"], 4)])
        #expect(
            lines(gauge).dropFirst(2) == ["g{l=\"new\",m=\"x\"} 3", "g{l=\"new\",m=\"y\"} 4"]
        )
    }

    @Test func `counters add up by their labels`() {
        let counter = Counter("c_total", "Help.", labels: ["l"])
        counter.add(1, "a")
        counter.add(0.5, "a")
        counter.add(2, "b")
        #expect(lines(counter).dropFirst(2) == ["c_total{l=\"a\"} 1.5", "c_total{l=\"b\"} 2"])
    }

    // OpenMetrics 1.0, "Counter": the family's name is without `_total`, the sample's has it.
    @Test func `in OpenMetrics a counter's family has no suffix, and the text an end`() {
        let counter = Counter("c_total", "A \"quoted\" \\ help.")
        #expect(
            lines(counter, openMetrics: true) == [
                #"# HELP c A \"quoted\" \\ help."#, "# TYPE c counter", "c_total 0", "# EOF",
            ]
        )
        #expect(lines(counter)[0] == #"# HELP c_total A "quoted" \\ help."#)
    }

    @Test func `a number is read back as the same number`() {
        for value in [0, -1, 1.5, 1e14, 1e15, 1e300, 0.001, 123_456_789.25, -0.1] {
            let gauge = Gauge("g", "Help.")
            gauge.set(value)
            let text = lines(gauge).last?.split(separator: " ").last ?? ""
            #expect(Double(text) == value, "\(text)")
        }
    }
}
