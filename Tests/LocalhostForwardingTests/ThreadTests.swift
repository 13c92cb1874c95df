import Dispatch
import Glibc
import NetworkNamespaces
import Synchronization
import TestSupport
import Testing
import Threads

@Suite(.timeLimit(.minutes(30))) struct ThreadTests {
    private struct Failure: Error, Equatable { let number: Int }

    private final class Collection<Element: Sendable>: Sendable {
        let all = Mutex<[Element]>([])
    }

    /// Runs the closure on that many threads and returns what they have returned.
    private func onThreads<Value: Sendable>(
        _ count: Int,
        _ body: @escaping @Sendable (Int) -> Value
    ) -> [Value] {
        let values = Collection<Value>()
        let done = DispatchSemaphore(value: 0)
        for number in 0..<count {
            startThread {
                let value = body(number)
                values.all.withLock { $0.append(value) }
                done.signal()
            }
        }
        for _ in 0..<count { done.wait() }
        return values.all.withLock(\.self)
    }

    /// The number of rings that nobody has heard; the bell is of no use afterwards.
    private func unheard(_ bell: Bell) async -> Int {
        // A cancelled task gets what is there, and does not wait.
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            var count = 0
            for await _ in bell.rings { count += 1 }
            return count
        }
        return await task.value
    }

    @Test func `rings that nobody has heard are one, and a later one is another`() async {
        #expect(await unheard(Bell()) == 0)
        let bell = Bell()
        for _ in 0..<5 { bell.ring() }
        var rings = bell.rings.makeAsyncIterator()
        #expect(await rings.next() != nil)
        for _ in 0..<5 { bell.ring() }
        #expect(await unheard(bell) == 1)
        let quiet = Bell()
        quiet.ring()
        var heard = quiet.rings.makeAsyncIterator()
        #expect(await heard.next() != nil)
        #expect(await unheard(quiet) == 0)
    }

    @Test func `everyone gets the own result from one lasting thread`() throws {
        let runs = onThreads(8) { caller in
            (0..<50).map { number -> (thread: pthread_t, isRight: Bool) in
                do {
                    let result = try LastingThread.shared.run {
                        if number % 5 == 0 { throw Failure(number: 100 * caller + number) }
                        return (pthread_self(), 100 * caller + number)
                    }
                    return (result.0, number % 5 != 0 && result.1 == 100 * caller + number)
                } catch {
                    let isOwn = error as? Failure == Failure(number: 100 * caller + number)
                    return (0, number % 5 == 0 && isOwn)
                }
            }
        }
        .flatMap(\.self)
        #expect(runs.count == 400 && runs.allSatisfy(\.isRight))
        #expect(Set(runs.map(\.thread)).subtracting([0]).count == 1)
    }

    @Test func `a thread is in the network namespace of its creator, whoever runs it`() throws {
        @Sendable func name() -> String {
            var bytes = [CChar](repeating: 0, count: 64)
            let count = readlink("/proc/thread-self/ns/net", &bytes, 64)
            return String(
                decoding: bytes[..<max(0, count)].map(UInt8.init(bitPattern:)),
                as: UTF8.self
            )
        }
        let namespace = try NetworkNamespace()
        let (inside, started) = try namespace.inside { (name(), onThreads(3) { _ in name() }) }
        #expect(inside.hasPrefix("net:[") && started == [inside, inside, inside])
        #expect(onThreads(1) { _ in name() } == [name()] && name() != inside)
    }

    // MARK: LineWriter

    @Test func `a line of just the limit is written, and a longer one is counted as lost`() {
        let ends = makePipe()
        defer {
            close(ends.read)
            close(ends.write)
        }
        let writer = LineWriter(ends.write, limit: 10) { "\($0) lost\n" }
        writer.write("123456789\n")
        #expect(text(from: ends.read, until: "\n") == "123456789\n")
        writer.flush(atMost: .seconds(60))
        writer.write("1234567890\n")
        writer.write("ääääää\n")
        writer.write("short\n")
        #expect(text(from: ends.read, until: "lost\n") == "short\n2 lost\n")
        writer.flush(atMost: .seconds(60))
        writer.write("again\n")
        #expect(
            text(from: ends.read, until: "again\n") == "again\n",
            "what is told is not told again"
        )
    }

    @Test func `a descriptor that another program made non-blocking loses nothing`() {
        let ends = makePipe(O_NONBLOCK)
        defer {
            close(ends.read)
            close(ends.write)
        }
        let writer = LineWriter(ends.write) { "\($0) lost\n" }
        // The pipe holds a tenth of this.
        let lines = (0..<6000).map { "\($0) \(String(repeating: "x", count: 100))\n" }
        for line in lines { writer.write(line) }
        writer.flush(atMost: .milliseconds(10))
        writer.write("end\n")
        #expect(text(from: ends.read, until: "end\n") == lines.joined() + "end\n")
    }

    @Test func `lines of several threads stay whole, and each thread's in their order`() {
        let ends = makePipe()
        defer {
            close(ends.read)
            close(ends.write)
        }
        let writer = LineWriter(ends.write) { "\($0) lost\n" }
        _ = onThreads(4) { thread in
            for number in 0..<500 { writer.write("\(thread) \(number)\n") }
        }
        writer.write("end\n")
        let lines = text(from: ends.read, until: "end\n").split(separator: "\n").dropLast()
        for thread in 0..<4 {
            let own = lines.filter { $0.hasPrefix("\(thread) ") }.map(String.init)
            #expect(own == (0..<500).map { "\(thread) \($0)" })
        }
        #expect(lines.count == 2000)
    }
}
