internal import Glibc
internal import IPVS
internal import Logging
internal import Netlink
internal import NetworkTypes
internal import ServicePlan

/// Handling of requests that the kernel refuses: one Service's request must not block the others.
extension IPVSBackend {
    /// Takes note of what the kernel refused, so that virtual servers are made without it.
    ///
    /// - Throws: the first refusal if nothing can be left out
    /// - Returns: whether the virtual servers must be computed anew
    func learn(_ refused: [RefusedOperation]) throws(NetlinkError) -> Bool {
        guard let first = refused.first else { return false }
        let before = defaults.refusals
        for refusal in refused { learn(refusal.operation, refusal.error) }
        guard defaults.refusals != before else { throw first.missing }
        return true
    }

    private func learn(_ operation: ServerOperation, _ error: NetlinkError) {
        switch operation {
        case .add(let server), .set(let server):
            guard server.scheduler != defaults.scheduler,
                defaults.refusals.schedulers.insert(server.scheduler).inserted
            else { return }
            logger.warning(
                """
                this kernel has no scheduler \(server.scheduler), which \(owner(server.key)) asks for; \
                it gets \(defaults.scheduler). Load the module (modprobe ip_vs_\(server.scheduler)) \
                and restart needletail, or change the annotation
                """,
                metadata: ["error": "\(error)"]
            )
        case .addDestination(let destination, let key):
            guard error.code == EINVAL,
                defaults.refusals.destinations.insert(destination.address).inserted
            else { return }
            logger.warning(
                """
                endpoint \(destination.address) of \(owner(key)) is left out: the kernel accepts no such \
                address as a destination (it may be a broadcast address of this node's networks)
                """,
                metadata: ["error": "\(error)"]
            )
        case .setDestination, .remove, .removeDestination: break
        }
    }

    private func owner(_ key: FrontendKey) -> String {
        table?.services.first { $0.key == key }.map { "Service \($0.service)" } ?? "\(key)"
    }

    /// Leaves virtual servers of other programs alone, even if a Service has the same address and
    /// port.
    func leave(_ others: Set<FrontendKey>) {
        for key in others.subtracting(defaults.refusals.servers).sorted() {
            logger.warning(
                """
                virtual server \(key) belongs to another program and is left alone: the Service with \
                this address is not served there; remove one of the two
                """
            )
        }
        defaults.refusals.servers = others
    }

    /// Finds IPVS, and loads its module if it is gone.
    func findIPVS() throws(NetlinkError) {
        if try ipvs.refresh() { return }
        loadIPVS()
        guard try ipvs.refresh() else { throw Self.noIPVS }
    }

    static let noIPVS = NetlinkError("no IPVS", code: ENOSYS, lack: .ipvs)
}

extension RefusedOperation {
    /// The error; if the kernel has no such scheduler, the error says so.
    fileprivate var missing: NetlinkError {
        switch operation {
        case .add, .set: error.isNotFound ? error.lacking(.scheduler) : error
        case .remove, .addDestination, .setDestination, .removeDestination: error
        }
    }
}
