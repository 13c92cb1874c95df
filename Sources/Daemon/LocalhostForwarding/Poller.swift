internal import CNeedleShim
internal import Glibc

/// The events that a file is watched for, or is ready for.
struct Readiness: OptionSet {
    let rawValue: UInt32

    static let reading = Self(rawValue: UInt32(NEEDLE_READING))
    static let writing = Self(rawValue: UInt32(NEEDLE_WRITING))
    /// The file has failed, or both directions of its connection have ended.
    static let failed = Self(rawValue: UInt32(NEEDLE_FAILED))
}

/// An epoll instance that identifies files by tokens.
///
/// Tokens are never reused, so a late event of a closed file is not taken for one of another file.
final class Poller {
    private let descriptor = needle_epoll_open()
    private var nextToken: UInt64 = 0
    private var tokens = [UInt64](repeating: 0, count: 256)
    private var readiness = [UInt32](repeating: 0, count: 256)

    deinit { close(descriptor) }

    func makeToken() -> UInt64 {
        nextToken += 1
        return nextToken
    }

    /// Changes the events that a file is watched for.
    ///
    /// A failure is reported for whatever a file is watched. A file that is watched for nothing is
    /// not reported at all.
    func watch(_ file: Int32, _ token: UInt64, for new: Readiness, before old: Readiness) {
        needle_epoll_watch(descriptor, file, token, new.rawValue, old.rawValue)
    }

    /// Waits until a file is ready, or for the given time; -1 waits without limit.
    func wait(milliseconds: Int32) -> [(token: UInt64, readiness: Readiness)] {
        let count = needle_epoll_wait(
            descriptor,
            &tokens,
            &readiness,
            Int32(tokens.count),
            milliseconds
        )
        return (0..<max(0, Int(count))).map { (tokens[$0], Readiness(rawValue: readiness[$0])) }
    }
}
