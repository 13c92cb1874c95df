internal import FoundationEssentials

/// One moment on two clocks: that which only runs, for durations, and that of the wall, for people.
///
/// The wall's clock may be set at any time, by years when a node without a clock of its own finds a time
/// server. So moments are kept as instants, and told by how long ago they are.
package struct Moment: Sendable {
    package let instant: ContinuousClock.Instant
    /// Seconds since 1970.
    package let time: Double

    package init(instant: ContinuousClock.Instant, time: Double) {
        (self.instant, self.time) = (instant, time)
    }

    package static var now: Moment {
        Moment(instant: .now, time: Date().timeIntervalSince1970)
    }

    /// When an instant was, by the wall's clock as it is now: seconds since 1970.
    package func time(of past: ContinuousClock.Instant) -> Double {
        time - (instant - past).seconds
    }

    /// The same as Kubernetes' MicroTime.
    func text(of past: ContinuousClock.Instant) -> String { Self.text(time(of: past)) }

    var text: String { Self.text(time) }

    private static func text(_ time: Double) -> String {
        let whole = Date(timeIntervalSince1970: time.rounded(.down)).formatted(.iso8601)
        let micros = String(Int((time - time.rounded(.down)) * 1e6))
        return "\(whole.dropLast()).\(String(repeating: "0", count: 6 - micros.count))\(micros)Z"
    }
}
