internal import Dispatch
internal import Glibc
internal import Synchronization

/// Writes lines to a descriptor from a thread of its own, so that callers never wait for a slow,
/// stopped or closed reader.
///
/// Lines wait in memory up to a limit. Further lines are dropped and counted, and a line reports
/// their number later. Lines that cannot be written (closed pipe, full disk) count as dropped, too;
/// every new line is attempted again.
package final class LineWriter: Sendable {
    private struct State {
        var waiting: [UInt8] = []
        var lines = 0
        var lost = 0
        var isWriting = false
    }

    private let descriptor: Int32
    /// The limit of waiting text in bytes.
    private let limit: Int
    private let lossLine: @Sendable (Int) -> String
    private let state = Mutex(State())
    private let work = DispatchSemaphore(value: 0)

    /// Makes a writer and starts its thread.
    ///
    /// - Parameter lossLine: makes the line, with its line end, that reports a number of lost lines
    package init(
        _ descriptor: Int32,
        limit: Int = 1 << 20,
        lossLine: @escaping @Sendable (Int) -> String
    ) {
        (self.descriptor, self.limit, self.lossLine) = (descriptor, limit, lossLine)
        startThread { [weak self, work] in
            blockBrokenPipe()
            while true {
                work.wait()
                guard let self else { return }
                writeWaiting()
            }
        }
    }

    deinit { work.signal() }

    /// Takes a line that includes its line end; never blocks.
    package func write(_ line: String) {
        let isFirst = state.withLock { state in
            guard state.waiting.count + line.utf8.count <= limit else {
                state.lost += 1
                return false
            }
            state.waiting += line.utf8
            state.lines += 1
            return state.lines == 1
        }
        if isFirst { work.signal() }
    }

    /// Waits until all lines are written, or until the limit has passed.
    package func flush(atMost limit: Duration = .seconds(1)) {
        let deadline = ContinuousClock.now + limit
        while state.withLock({ $0.lines > 0 || $0.isWriting }), .now < deadline { usleep(500) }
    }

    private func writeWaiting() {
        let (bytes, lines, lost) = state.withLock { state in
            defer {
                (state.waiting, state.lines, state.lost) = ([], 0, 0)
                state.isWriting = true
            }
            return (state.waiting, state.lines, state.lost)
        }
        var text = bytes
        if lost > 0 { text += lossLine(lost).utf8 }
        let isWritten = writeAll(text, to: descriptor)
        state.withLock { state in
            state.isWriting = false
            if !isWritten { state.lost += lost + lines }
        }
    }
}

/// Writes to a descriptor until it has taken everything; returns false if it takes no more.
package func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        if count >= 0 {
            rest = rest.dropFirst(count)
            continue
        }
        switch errno {
        case EINTR: break
        // The descriptor is shared with another process that made it non-blocking.
        case EAGAIN:
            var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            poll(&entry, 1, -1)
        default: return false
        }
    }
    return true
}

/// Makes a write to a pipe without a reader an error on this thread, instead of ending the process.
private func blockBrokenPipe() {
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
}
