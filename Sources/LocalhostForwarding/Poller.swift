internal import CNeedleShim
internal import Glibc

/// What a file is to be watched for, or is ready for.
struct Readiness: OptionSet {
    let rawValue: UInt32

    static let reading = Self(rawValue: UInt32(NEEDLE_READING))
    static let writing = Self(rawValue: UInt32(NEEDLE_WRITING))
    /// Told without asking.
    static let failed = Self(rawValue: UInt32(NEEDLE_FAILED))
}

/// An epoll instance; its files are told by tokens, which are never used twice, so that what was
/// ready when its file was closed is nobody else's.
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

    /// Watches a file for something else than before; one that is watched for nothing is not told at
    /// all, not even when it fails.
    func watch(_ file: Int32, _ token: UInt64, for new: Readiness, before old: Readiness) {
        needle_epoll_watch(descriptor, file, token, new.rawValue, old.rawValue)
    }

    /// Waits until something is ready, or for so long; -1: without end.
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
