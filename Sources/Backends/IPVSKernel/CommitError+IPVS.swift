internal import Backend
internal import Glibc
internal import Netlink

extension CommitError {
    init(ipvs error: NetlinkError) {
        self.init(
            "IPVS: \(error)",
            recovery: Self.advice(error).map { .operatorAction($0) }
                // Another program has created the object in the meantime.
                ?? (error.code == EEXIST ? .rereadKernel : .retry)
        )
    }

    private static func advice(_ error: NetlinkError) -> String? {
        if error.isPermissionDenied { return "run with the capability NET_ADMIN (root has it)" }
        return switch error.lack {
        case .ipvs:
            "this kernel has not loaded it: modprobe -a ip_vs ip_vs_rr, or use --mode=nftables"
        case .scheduler: "this kernel has no such scheduler: load its module (modprobe ip_vs_…)"
        case .dummyDevices: "this kernel has no dummy devices: load the module (modprobe dummy)"
        case nil: nil
        }
    }
}
