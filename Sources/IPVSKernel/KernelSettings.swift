internal import Glibc
internal import Logging

/// The sysctls that IPVS needs, of this network namespace.
struct KernelSettings {
    private let wanted: [(name: String, value: String, why: String)]

    init(strictARP: Bool) {
        var wanted = [
            ("net/ipv4/vs/conntrack", "1", "or answers to masqueraded connections are lost"),
            ("net/ipv4/vs/expire_nodest_conn", "1", "or clients stay with removed endpoints"),
            (
                "net/ipv4/vs/expire_quiescent_template", "1",
                "or clients with affinity stay with draining endpoints"
            ), ("net/ipv4/ip_forward", "1", "or nothing is forwarded"),
        ]
        if strictARP {
            let why = "for --ipvs-strict-arp"
            wanted += [
                ("net/ipv4/conf/all/arp_ignore", "1", why),
                ("net/ipv4/conf/all/arp_announce", "2", why),
            ]
        }
        self.wanted = wanted.map { (name: $0.0, value: $0.1, why: $0.2) }
    }

    /// Sets what differs, and says so.
    func apply(_ logger: Logger) {
        for (name, value, why) in wanted {
            let present = Self.read(name)
            guard present != value else { continue }
            let dotted = name.replacing("/", with: ".")
            if Self.write(name, value) {
                logger.info("sysctl \(dotted) was \(present ?? "absent"), is \(value) now")
            } else {
                logger.error(
                    """
                    sysctl \(dotted) is \(present ?? "absent") and cannot be set to \(value), \
                    \(why); set it on the node
                    """
                )
            }
        }
    }

    private static func read(_ name: String) -> String? {
        let file = open("/proc/sys/\(name)", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = Glibc.read(file, &bytes, bytes.count)
        let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        return String(text.prefix { !$0.isWhitespace })
    }

    private static func write(_ name: String, _ value: String) -> Bool {
        let file = open("/proc/sys/\(name)", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return Glibc.write(file, value, value.utf8.count) == value.utf8.count
    }
}

/// Loads the module of IPVS with modprobe, if that is there and allowed; the kernel itself loads
/// those of schedulers and of the dummy device.
func loadIPVS() {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for descriptor: Int32 in 0...2 {
        posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
    }
    var words: [UnsafeMutablePointer<CChar>?] = [strdup("modprobe"), strdup("ip_vs"), nil]
    defer { for word in words { free(word) } }
    var child: pid_t = 0
    guard posix_spawnp(&child, "modprobe", &actions, nil, &words, environ) == 0 else { return }
    waitpid(child, nil, 0)
}
