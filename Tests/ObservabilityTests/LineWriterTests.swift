import Glibc
import TestSupport
import Testing
import Threads

@Suite(.timeLimit(.minutes(30))) struct LineWriterTests {
    private let lossLine: @Sendable (Int) -> String = { "\($0) lines were lost\n" }

    @Test func `lines are written in their order`() {
        let ends = makePipe()
        defer { close(ends.read) }
        let writer = LineWriter(ends.write, lossLine: lossLine)
        for number in 0..<1000 { writer.write("line \(number)\n") }
        writer.flush(atMost: .seconds(60))
        close(ends.write)
        let expected = (0..<1000).map { "line \($0)\n" }.joined()
        #expect(TestSupport.text(from: ends.read, until: "line 999\n") == expected)
    }

    @Test func `a reader that stands still holds nobody up, and hears what it has missed`() throws {
        let ends = makePipe()
        defer {
            close(ends.read)
            close(ends.write)
        }
        let writer = LineWriter(ends.write, limit: 100_000, lossLine: lossLine)
        let line = String(repeating: "x", count: 99) + "\n"
        // This is more than the pipe, the writer and its queue can hold.
        for _ in 0..<5000 { writer.write(line) }
        var (read, lost) = (0, 0)
        var rest = ""
        var buffer = [UInt8](repeating: 0, count: 65536)
        while read + lost < 5000 {
            let count = Glibc.read(ends.read, &buffer, buffer.count)
            try #require(count > 0)
            rest += String(decoding: buffer[..<count], as: UTF8.self)
            while let end = rest.firstIndex(of: "\n") {
                let text = rest[..<end]
                if text.hasSuffix(" lines were lost") {
                    lost += Int(text.prefix { $0.isNumber }) ?? 0
                } else {
                    #expect(text.utf8.count == 99)
                    read += 1
                }
                rest = String(rest[rest.index(after: end)...])
            }
        }
        #expect(read + lost == 5000 && lost > 0)
        writer.write("the end\n")
        #expect(text(from: ends.read, until: "the end\n").hasSuffix("the end\n"))
    }

    @Test func `a reader that has gone is no end`() {
        let ends = makePipe()
        close(ends.read)
        let writer = LineWriter(ends.write, lossLine: lossLine)
        for _ in 0..<10 {
            writer.write("nobody reads this\n")
            writer.flush(atMost: .seconds(60))
        }
        // A reader opens the pipe again.
        let file = open("/proc/self/fd/\(ends.write)", O_RDONLY | O_CLOEXEC)
        defer {
            close(file)
            close(ends.write)
        }
        writer.write("somebody reads this\n")
        let text = TestSupport.text(from: file, until: "somebody reads this\n")
        #expect(text.contains("10 lines were lost\n"), "\(text)")
    }
}
