internal import Glibc
package import Netlink

extension KernelSettings {
    /// The sysctls that IPVS needs.
    package static func ipvs(strictARP: Bool) -> KernelSettings {
        let template = "or clients with affinity stay with draining endpoints"
        var wanted: [Setting] = [
            Setting("net/ipv4/vs/conntrack", "1", "or answers to masqueraded connections are lost"),
            Setting(
                "net/ipv4/vs/expire_nodest_conn",
                "1",
                "or clients stay with removed endpoints"
            ),
            Setting("net/ipv4/vs/expire_quiescent_template", "1", template),
            // IPVS's own defence, active only while memory is short.
            Setting(
                "net/ipv4/vs/drop_entry",
                "1",
                "or a flood of clients that never answer may use up the memory"
            ),
            Setting("net/ipv4/ip_forward", "1", "or nothing is forwarded"),
        ]
        if strictARP {
            wanted += [
                Setting("net/ipv4/conf/all/arp_ignore", "1", "for --ipvs-strict-arp"),
                Setting("net/ipv4/conf/all/arp_announce", "2", "for --ipvs-strict-arp"),
            ]
        }
        return KernelSettings(wanted)
    }
}

/// Loads the module of IPVS with modprobe, if modprobe exists and is allowed to; the kernel itself
/// loads the modules of schedulers and of the dummy device.
package func loadIPVS() {
    // IPVS may be built in or loaded already; modprobe takes long on a slow disk.
    guard access("/proc/net/ip_vs", F_OK) != 0 else { return }
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
