internal import Dispatch

/// Runs an actor's blocking calls on a thread of their own, not on the cooperative pool.
final class KernelQueue: SerialExecutor {
    let queue = DispatchQueue(label: "needletail.nftables")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    func checkIsolated() { dispatchPrecondition(condition: .onQueue(queue)) }
}
