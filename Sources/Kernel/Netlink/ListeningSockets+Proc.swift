internal import Glibc
package import NetworkTypes

extension ListeningSockets {
    /// Reads the listening sockets of this network namespace; an unreadable table counts as empty.
    ///
    /// The cost depends on the number of listening TCP sockets, not of connections: the kernel
    /// lists listening ones first (`net/ipv4/tcp_ipv4.c`, `tcp_seq_start`), and the rest is not
    /// read.
    package static func read() -> ListeningSockets {
        var found = ListeningSockets()
        for (name, transport) in [
            ("tcp", TransportProtocol.tcp), ("tcp6", .tcp), ("udp", .udp), ("udp6", .udp),
        ] {
            guard let file = fopen("/proc/net/\(name)", "re") else { continue }
            defer { fclose(file) }
            var line: UnsafeMutablePointer<CChar>?
            var capacity = 0
            defer { free(line) }
            // The first line contains the names of the columns.
            guard getline(&line, &capacity, file) > 0 else { continue }
            while getline(&line, &capacity, file) > 0, let line {
                let listens = found.insert(line: Substring(String(cString: line)), of: transport)
                if !listens, transport == .tcp { break }
            }
        }
        return found
    }
}
