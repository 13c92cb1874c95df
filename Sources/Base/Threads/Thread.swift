internal import Glibc

/// Starts a dedicated thread for work that blocks.
///
/// Dispatch has a limited number of threads, and work that blocks in one of them takes it away from
/// everyone else. The thread inherits the network namespace of its creator, and ends when the
/// closure returns.
package func startThread(_ body: @escaping @Sendable () -> Void) {
    let work = Unmanaged.passRetained(ThreadBody(body))
    var thread = pthread_t()
    let code = pthread_create(&thread, nil, runThread, work.toOpaque())
    precondition(code == 0, "no thread can be started: \(String(cString: strerror(code)))")
    pthread_detach(thread)
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { run = body }
}

private func runThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run()
    return nil
}
