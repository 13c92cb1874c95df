internal import Glibc
internal import IPVS
internal import Logging
internal import Netlink
internal import NetworkTypes
internal import ServicePlan

/// One Service may ask for what this kernel does not have; no other Service must wait for it.
extension IPVSBackend {
    /// Takes note of what the kernel refuses, so that the next plans do without.
    ///
    /// - Throws: the first refusal if there is nothing to do without
    /// - Returns: whether plans must be made anew
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
                endpoint \(destination.address) of \(owner(key)) is left out: the kernel takes no such \
                address for a destination (a broadcast address of this node's networks, say)
                """,
                metadata: ["error": "\(error)"]
            )
        case .setDestination, .remove, .removeDestination: break
        }
    }

    private func owner(_ key: FrontendKey) -> String {
        table?.services.first { $0.key == key }.map { "Service \($0.service)" } ?? "\(key)"
    }

    /// Virtual servers of other programs stay theirs, whatever a Service's external IP says.
    func leave(_ others: Set<FrontendKey>) {
        for key in others.subtracting(defaults.refusals.servers).sorted() {
            logger.warning(
                """
                virtual server \(key) is another program's and stays so: the Service with this address \
                is not served there; remove one of the two
                """
            )
        }
        defaults.refusals.servers = others
    }

    /// Finds IPVS, and has the module loaded if it is gone.
    func findIPVS() throws(NetlinkError) {
        if try ipvs.refresh() { return }
        loadIPVS()
        guard try ipvs.refresh() else { throw Self.noIPVS }
    }

    static let noIPVS = NetlinkError("no IPVS", code: ENOSYS, lack: .ipvs)
}

extension RefusedOperation {
    /// The error, with what the kernel lacks if that is the reason.
    fileprivate var missing: NetlinkError {
        switch operation {
        case .add, .set: error.isNotFound ? error.lacking(.scheduler) : error
        case .remove, .addDestination, .setDestination, .removeDestination: error
        }
    }
}
