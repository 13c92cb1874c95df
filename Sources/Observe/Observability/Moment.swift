internal import FoundationEssentials

/// One moment on two clocks: a monotonic clock for durations, and the wall clock for people.
///
/// The wall clock may be set at any time, and by years when a node without a hardware clock finds a
/// time server. So moments are stored as instants, and their wall time is computed from their age.
package struct Moment: Sendable {
    package let instant: ContinuousClock.Instant
    /// The wall time in seconds since 1970.
    package let time: Double

    package init(instant: ContinuousClock.Instant, time: Double) {
        (self.instant, self.time) = (instant, time)
    }

    package static var now: Moment {
        Moment(instant: .now, time: Date().timeIntervalSince1970)
    }

    /// Returns the time of an instant by the present wall clock, in seconds since 1970.
    package func time(of past: ContinuousClock.Instant) -> Double {
        time - (instant - past).seconds
    }

    /// Formats an instant's wall time as Kubernetes' MicroTime.
    package func text(of past: ContinuousClock.Instant) -> String { Self.text(time(of: past)) }

    /// Kubernetes' MicroTime.
    package var text: String { Self.text(time) }

    private static func text(_ time: Double) -> String {
        let whole = Date(timeIntervalSince1970: time.rounded(.down)).formatted(.iso8601)
        let micros = String(Int((time - time.rounded(.down)) * 1e6))
        return "\(whole.dropLast()).\(String(repeating: "0", count: 6 - micros.count))\(micros)Z"
    }
}
