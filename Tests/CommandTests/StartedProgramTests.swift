import BinarySupport
import FoundationEssentials
import Glibc
import NetworkNamespaces
import Synchronization
import Testing
import Threads

@Suite(.timeLimit(.minutes(30))) struct StartedProgramTests {
    private final class Started: Sendable {
        let ids = Mutex<(thread: String, program: pid_t)?>(nil)
    }

    /// The calling thread's path below `/proc`.
    private static var thread: String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self")) ?? ""
    }

    // The threads of a pool end when idle, and daemons of the lab once ended with them.
    @Test func `a program outlives the thread that asked for it`() throws {
        let namespace = try NetworkNamespace()
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        defer { close(null) }
        let started = Started()
        startThread {
            let program = try? Command.start(
                ["sleep", "60"],
                in: namespace,
                input: null,
                output: null
            )
            started.ids.withLock { $0 = (Self.thread, program ?? -1) }
        }
        func until(_ holds: () -> Bool) throws {
            let deadline = ContinuousClock.now + .seconds(60)
            while !holds() {
                try #require(.now < deadline)
                usleep(1000)
            }
        }
        try until { started.ids.withLock { $0 != nil } }
        let (thread, program) = try #require(started.ids.withLock { $0 })
        try until { access("/proc/\(thread)", F_OK) != 0 }
        try #require(program > 0)
        #expect(waitpid(program, nil, WNOHANG) == 0)
        kill(program, SIGKILL)
        #expect(waitpid(program, nil, 0) == program)
    }

    // A daemon that another test started had a script open for writing, which then could not be run.
    @Test func `a program has no file of this process but those that it was given`() throws {
        let folder = try Folder()
        let file = open("\(folder.path)/file", O_WRONLY | O_CREAT, 0o600)
        defer { close(file) }
        let program = try Command.start(["sleep", "60"], log: "\(folder.path)/log")
        defer {
            kill(program, SIGKILL)
            waitpid(program, nil, 0)
        }
        // While it starts it has its libraries open.
        let deadline = ContinuousClock.now + .seconds(60)
        var files: [String] = []
        while files != ["0", "1", "2"], .now < deadline {
            files = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(program)/fd")
                .sorted()
            usleep(1000)
        }
        #expect(files == ["0", "1", "2"])
    }
}
