package import Dispatch

/// An executor that runs an actor's blocking calls on a dispatch queue instead of the cooperative
/// pool.
package final class KernelQueue: SerialExecutor {
    package let queue = DispatchQueue(label: "needletail.nftables")

    package init() {}

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    package func checkIsolated() { dispatchPrecondition(condition: .onQueue(queue)) }
}
