internal import CNeedleShim
internal import Glibc

extension Command {
    /// Starts a program in the network namespace of the calling thread.
    static func spawn(_ arguments: [String], input: Int32, output: Int32) throws -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, output, 2)
        // Other threads have files open that are not marked as this process's own: Foundation's. A
        // child would hold them as long as it lives, and nobody runs a program that somebody writes.
        _ = needle_spawn_close_from(&actions, 3)
        // A child takes no signals' dispositions or masks from this process: what is ignored here
        // would end no child.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(
            &attributes,
            Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF)
        )
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var child: pid_t = 0
        let code = posix_spawnp(&child, arguments[0], &actions, &attributes, &words, environ)
        guard code == 0 else {
            throw CommandError(
                "\(arguments[0]) cannot be started: \(String(cString: strerror(code)))"
            )
        }
        return child
    }
}
