internal import Configuration
internal import FoundationEssentials
internal import Glibc

/// Times in the past, as people write them.
enum PastTime {
    /// Returns a time in seconds since 1970.
    ///
    /// A time with a fraction means the end of its last digit, so that a time which `history` shows
    /// has the change that it shows.
    ///
    /// - Parameter text: `-10m`, or a time in RFC 3339
    static func seconds(of text: String, option: String) throws -> Double {
        let now = Date().timeIntervalSince1970
        if text.hasPrefix("-"), let span = TimeSpan(text) { return now + span.seconds }
        guard let date = date(text) else {
            throw Failure(
                "\(option): \"\(text)\" is neither a time before now, as -10m, nor one in RFC 3339, as"
                    + " 2026-01-31T12:00:00Z",
                status: EX_USAGE
            )
        }
        let seconds = date.timeIntervalSince1970
        guard seconds <= now else {
            throw Failure("\(option): \(text) is still to come", status: EX_USAGE)
        }
        let digits = text.drop { $0 != "." }.dropFirst().prefix { $0.isNumber }.count
        return digits == 0 ? seconds : min(now, seconds + pow(10, -Double(digits)))
    }

    private static func date(_ text: String) -> Date? {
        [true, false].lazy.compactMap { hasFraction in
            try? Date(
                text,
                strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: hasFraction)
            )
        }.first
    }
}
