package import Glibc
internal import Threads

/// The error of a program that could not be started or that failed; the text says which and why.
package struct CommandError: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// Runs other programs for the lab and the tests.
package enum Command {
    /// Runs a program to its end and returns its output; throws if the program fails.
    @discardableResult
    package static func run(_ arguments: [String], input: String = "") throws -> String {
        // One socket pair carries both the child's standard input and its output.
        var ends: [Int32] = [0, 0]
        guard
            socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0
        else { throw CommandError("socketpair: \(String(cString: strerror(errno)))") }
        defer { close(ends[0]) }
        let child: pid_t
        do {
            defer { close(ends[1]) }
            child = try spawn(arguments, input: ends[1], output: ends[1])
        }
        // The inputs used here fit into the socket's buffer.
        _ = input.withCString { send(ends[0], $0, strlen($0), Int32(MSG_NOSIGNAL)) }
        shutdown(ends[0], Int32(SHUT_WR))
        var output: [UInt8] = []
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
            while case let count = read(ends[0], buffer.baseAddress, buffer.count), count > 0 {
                output += buffer[..<count]
            }
        }
        let text = String(decoding: output, as: UTF8.self)
        var status: Int32 = 0
        waitpid(child, &status, 0)
        guard status == 0 else {
            throw CommandError(
                "\(arguments.joined(separator: " ")): \(text.isEmpty ? "failed" : text)"
            )
        }
        return text
    }

    /// Starts a program that gets a signal when this process ends for any reason.
    ///
    /// - Parameter signal: the signal's name as setpriv knows it
    package static func start(
        _ arguments: [String],
        in namespace: NetworkNamespace? = nil,
        endingWith signal: String = "KILL",
        input: Int32,
        output: Int32
    ) throws -> pid_t {
        let words = ["setpriv", "--pdeathsig", signal] + arguments
        // The kernel sends the signal when the thread that started the program ends.
        return try LastingThread.shared.run {
            guard let namespace else { return try spawn(words, input: input, output: output) }
            return try namespace.inside { try spawn(words, input: input, output: output) }
        }
    }

    /// Starts a program whose output goes to a file, which is made empty first.
    ///
    /// It ends when this process does, as with the other `start`.
    package static func start(
        _ arguments: [String],
        in namespace: NetworkNamespace? = nil,
        endingWith signal: String = "KILL",
        log path: String
    ) throws -> pid_t {
        let log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard log >= 0 else {
            throw CommandError("\(path) cannot be written: \(String(cString: strerror(errno)))")
        }
        let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer {
            close(log)
            close(null)
        }
        return try start(arguments, in: namespace, endingWith: signal, input: null, output: log)
    }
}
