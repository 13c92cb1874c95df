internal import Glibc

/// Descriptors kept back for the moment when the process has no other left: health must be told then, too.
struct DescriptorReserve: ~Copyable {
    private var held: [Int32] = []
    private let size: Int

    init(_ size: Int) {
        self.size = size
        refill()
    }

    /// Takes back what was released, as far as there are descriptors.
    mutating func refill() {
        while held.count < size {
            let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { return }
            held.append(descriptor)
        }
    }

    /// Frees one for somebody who needs it now; returns false if none is left.
    mutating func release() -> Bool {
        guard let descriptor = held.popLast() else { return false }
        close(descriptor)
        return true
    }

    deinit { for descriptor in held { close(descriptor) } }
}

/// How many files this process may have open.
package enum DescriptorLimit {
    /// What Linux allows where nobody asked for more: `fs.nr_open`.
    ///
    /// A child that closes every possible descriptor would take minutes with a limit of billions.
    private static let most: rlim_t = 1 << 20

    /// Raises the soft limit to the hard one; returns the soft limit then in force.
    @discardableResult
    package static func raise() -> Int {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(resource, &limit) == 0 else { return 256 }
        let before = limit.rlim_cur
        limit.rlim_cur = max(before, min(limit.rlim_max, most))
        guard limit.rlim_cur == before || setrlimit(resource, &limit) == 0 else {
            return Int(min(before, most))
        }
        return Int(min(limit.rlim_cur, most))
    }

    /// How many of them the connections of health and metrics may have: a quarter, and never more
    /// than what answers a flood.
    package static func connections(of limit: Int) -> Int { max(8, min(512, limit / 4)) }
}
