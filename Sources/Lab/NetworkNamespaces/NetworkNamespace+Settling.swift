internal import FoundationEssentials
internal import Glibc

extension NetworkNamespace {
    /// Waits until the namespace receives what is sent to its own IPv6 addresses.
    ///
    /// The kernel adds an address at once and its local route later, from a work queue
    /// (`addrconf_dad_work`), which on a busy machine takes seconds. Addresses whose interfaces are
    /// down or have no carrier get no such route, and those with duplicate address detection may not
    /// be used yet anyway.
    package func settle() throws {
        try inside {
            let deadline = ContinuousClock.now + .seconds(60)
            while let address = try unsettled() {
                guard .now < deadline else {
                    throw CommandError("the kernel adds no local route for \(address)")
                }
                usleep(1000)
            }
        }
    }

    /// Returns an address without duplicate detection whose local route is missing, as /proc/net
    /// writes it.
    private func unsettled() throws -> Substring? {
        // struct inet6_ifaddr's address, index, prefix length, scope, flags and interface
        let awaited = try Self.lines("if_inet6").filter { fields in
            guard fields.count == 6, let flags = UInt32(fields[4], radix: 16) else { return false }
            return flags & UInt32(IFA_F_NODAD) != 0 && Self.isRunning(String(fields[5]))
        }.map { $0[0] }
        guard !awaited.isEmpty else { return nil }
        let local = Set(
            try Self.lines("ipv6_route").compactMap { fields in
                guard fields.count == 10, let flags = UInt32(fields[8], radix: 16),
                    flags & UInt32(RTF_LOCAL) != 0
                else { return nil }
                return fields[0]
            } as [Substring]
        )
        return awaited.first { !local.contains($0) }
    }

    private static func lines(_ name: String) throws -> [[Substring]] {
        let path = "/proc/thread-self/net/\(name)"
        do {
            return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
                .map { $0.split(separator: " ") }
        } catch let error as CocoaError where error.code == .fileReadNoSuchFile {
            // A kernel without IPv6 has no such files.
            return []
        }
    }

    /// Whether an interface is up and has a carrier.
    private static func isRunning(_ name: String) -> Bool {
        let descriptor = socket(AF_INET6, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(descriptor) }
        // struct ifreq: a name of 16 bytes, then a union of 24 bytes that begins with the flags.
        let length = Int(IF_NAMESIZE)
        return withUnsafeTemporaryAllocation(byteCount: length + 24, alignment: 8) { request in
            request.initializeMemory(as: UInt8.self, repeating: 0)
            request.copyBytes(from: name.utf8.prefix(length - 1))
            guard let base = request.baseAddress,
                ioctl(descriptor, UInt(SIOCGIFFLAGS), base) == 0
            else { return false }
            let wanted = UInt16(IFF_UP | IFF_RUNNING)
            return request.load(fromByteOffset: length, as: UInt16.self) & wanted == wanted
        }
    }
}

/// The flag of `linux/if_addr.h` for an address without duplicate address detection.
private let IFA_F_NODAD = 0x02
/// The flag of `linux/ipv6_route.h` for a route to the node itself.
private let RTF_LOCAL = 0x8000_0000 as UInt
