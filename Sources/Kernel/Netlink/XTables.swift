// Sockets belong to the first of these modules that the compiler reads in a build.
internal import CMnl
internal import CNeedleShim
internal import Glibc
package import NetworkTypes

/// The tables of iptables-legacy, which are separate from nf_tables and have no netlink interface.
package struct XTables: ~Copyable {
    private let socket: Int32
    private let family: IPFamily

    /// Returns the names of the tables in this network namespace; looking does not create any.
    package static func names(_ family: IPFamily) -> [String] {
        let path = "/proc/thread-self/net/\(family == .ipv4 ? "ip" : "ip6")_tables_names"
        return KernelSettings.words(path) ?? []
    }

    package init(_ family: IPFamily) throws(NetlinkError) {
        self.family = family
        socket = Glibc.socket(
            family == .ipv4 ? AF_INET : AF_INET6,
            Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue),
            0
        )
        guard socket >= 0 else {
            throw NetlinkError("opening a socket for iptables-legacy", code: errno)
        }
    }

    deinit { close(socket) }

    /// Removes chains, and the rules that jump to them, in one step; other rules keep their
    /// counters.
    ///
    /// The caller must hold the lock. A change by a program that ignores the lock is detected by
    /// the number of entries.
    ///
    /// - Returns: one line for each chain and each rule removed
    package func remove(
        chains isRemoved: (String) -> Bool,
        from table: String,
        dryRun: Bool
    ) throws(NetlinkError) -> [String] {
        let label = label(table)
        let removal = try removal(isRemoved, table, label)
        if !dryRun, !removal.removed.isEmpty { try replace(table, label, with: removal) }
        return removal.removed.map { "\(label) \($0)" }
    }

    /// Returns the chain FORWARD of the table filter; nil without that table in this network
    /// namespace.
    package func forwardChain() throws(NetlinkError) -> XTable.HookChain? {
        guard Self.names(family).contains("filter") else { return nil }
        let label = label("filter")
        return try chain(ofHook: XTable.forwardHook, of: read("filter", label), label)
    }

    /// Returns the tables that have rules or a policy of DROP at some hook.
    package func busyTables() throws(NetlinkError) -> [String] {
        var busy: [String] = []
        for name in Self.names(family).sorted() {
            let label = label(name)
            let table = try read(name, label)
            for hook in XTable.hookNames.indices {
                guard let chain = try chain(ofHook: hook, of: table, label),
                    chain.drops || chain.ruleCount > 0
                else { continue }
                busy.append(label)
                break
            }
        }
        return busy
    }

    private func label(_ table: String) -> String {
        "table \(family == .ipv4 ? "ip" : "ip6") \(table) of iptables-legacy"
    }

    private func chain(
        ofHook hook: Int,
        of table: XTable,
        _ label: String
    ) throws(NetlinkError) -> XTable.HookChain? {
        do throws(XTable.Malformed) {
            return try table.chain(ofHook: hook, family)
        } catch {
            throw NetlinkError("\(label) is not laid out as expected at \(error.offset)", code: 0)
        }
    }

    private func removal(
        _ isRemoved: (String) -> Bool,
        _ table: String,
        _ label: String
    ) throws(NetlinkError) -> XTable.Removal {
        let read = try read(table, label)
        do throws(XTable.Malformed) {
            return try read.removing(family, chains: isRemoved)
        } catch {
            throw NetlinkError("\(label) is not laid out as expected at \(error.offset)", code: 0)
        }
    }

    // MARK: The kernel's structures

    private var level: Int32 { family == .ipv4 ? Int32(IPPROTO_IP) : Int32(IPPROTO_IPV6) }
    private static let nameLength = 32
    private static let counterLength = 16

    /// Reads a table with `struct ipt_getinfo` and `struct ipt_get_entries`.
    private func read(_ table: String, _ label: String) throws(NetlinkError) -> XTable {
        var info = [UInt8](table.utf8)
        info.pad(to: Self.nameLength + 13 * 4)
        try get(64, &info, "reading the size of \(label)")
        let words = info.withUnsafeBytes { bytes in
            stride(from: Self.nameLength, to: bytes.count, by: 4).map {
                bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self)
            }
        }
        var entries = [UInt8](table.utf8)
        entries.pad(to: Self.nameLength)
        entries.append(words[12])
        entries.pad(to: 40 + Int(words[12]))
        try get(65, &entries, "reading \(label)")
        return XTable(
            validHooks: words[0],
            hookEntries: Array(words[1...5]),
            underflows: Array(words[6...10]),
            entries: Array(entries[40...])
        )
    }

    private func get(
        _ option: Int32,
        _ buffer: inout [UInt8],
        _ operation: String
    ) throws(NetlinkError) {
        var length = socklen_t(buffer.count)
        guard getsockopt(socket, level, option, &buffer, &length) == 0 else {
            throw NetlinkError(operation, code: errno)
        }
    }

    /// Writes a table with `struct ipt_replace`, and restores counters with `struct
    /// xt_counters_info`.
    private func replace(
        _ table: String,
        _ label: String,
        with removal: XTable.Removal
    ) throws(NetlinkError) {
        var counters = [UInt8](repeating: 0, count: removal.entriesBefore * Self.counterLength)
        var request = [UInt8](table.utf8)
        request.pad(to: Self.nameLength)
        request.append(removal.table.validHooks)
        request.append(UInt32(removal.kept.count))
        request.append(UInt32(removal.table.entries.count))
        for word in removal.table.hookEntries + removal.table.underflows { request.append(word) }
        request.append(UInt32(removal.entriesBefore))
        let code = counters.withUnsafeMutableBytes { counters in
            request.append(UInt64(UInt(bitPattern: counters.baseAddress)))
            request += removal.table.entries
            return set(64, request)
        }
        guard code == 0 else {
            throw NetlinkError("removing what kube-proxy has left in \(label)", code: code)
        }
        var kept = [UInt8](table.utf8)
        kept.pad(to: Self.nameLength)
        kept.append(UInt32(removal.kept.count))
        kept.pad(to: 40)
        for index in removal.kept {
            kept += counters[index * Self.counterLength..<(index + 1) * Self.counterLength]
        }
        let added = set(65, kept)
        guard added == 0 else {
            throw NetlinkError("keeping the counters of \(label)", code: added)
        }
    }

    private func set(_ option: Int32, _ value: [UInt8]) -> Int32 {
        setsockopt(socket, level, option, value, socklen_t(value.count)) == 0 ? 0 : errno
    }
}

/// The lock that iptables programs hold while they change a table.
package struct XTablesLock: ~Copyable {
    private let file: Int32

    private init(_ file: Int32) { self.file = file }

    /// Takes the lock, and waits up to 5 seconds for it.
    package static func taken() async throws(NetlinkError) -> XTablesLock {
        let path = getenv("XTABLES_LOCKFILE").map { String(cString: $0) } ?? "/run/xtables.lock"
        let file = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else {
            throw NetlinkError(
                "opening \(path), the lock of iptables, which a container gets from its node",
                code: errno
            )
        }
        let lock = XTablesLock(file)
        let deadline = ContinuousClock.now + .seconds(5)
        while flock(file, LOCK_EX | LOCK_NB) != 0 {
            let code = errno
            guard [EWOULDBLOCK, EINTR].contains(code), .now < deadline, !Task.isCancelled else {
                throw NetlinkError("taking \(path), which another iptables holds", code: code)
            }
            try? await Task.sleep(for: .milliseconds(20))
        }
        return lock
    }

    deinit { close(file) }
}

extension [UInt8] {
    fileprivate mutating func pad(to count: Int) {
        append(contentsOf: repeatElement(0, count: Swift.max(0, count - self.count)))
    }

    fileprivate mutating func append(_ value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value) { append(contentsOf: $0) }
    }
}
