internal import Glibc

/// Descriptors kept for the moment when the process has run out of others.
///
/// Health requests must be answered even then.
struct DescriptorReserve: ~Copyable {
    private var held: [Int32] = []
    private let size: Int

    init(_ size: Int) {
        self.size = size
        refill()
    }

    /// Fills the reserve again, as far as descriptors are available.
    mutating func refill() {
        while held.count < size {
            let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { return }
            held.append(descriptor)
        }
    }

    /// Frees a descriptor for immediate use; returns false if none is left.
    mutating func release() -> Bool {
        guard let descriptor = held.popLast() else { return false }
        close(descriptor)
        return true
    }

    deinit { for descriptor in held { close(descriptor) } }
}

/// The limit on open files of this process.
package enum DescriptorLimit {
    /// The default of `fs.nr_open`, Linux's limit on the descriptors of a process.
    ///
    /// With a limit of billions, a child that closes every possible descriptor would take minutes.
    private static let most: rlim_t = 1 << 20

    /// Raises the soft limit to the hard one, and returns the resulting soft limit.
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

    /// Returns how many descriptors the connections for health and metrics may use.
    ///
    /// They get a quarter, up to a number that is enough to answer during a flood.
    package static func connections(of limit: Int) -> Int { max(8, min(512, limit / 4)) }
}
