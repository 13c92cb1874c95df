package import NetworkTypes

/// The syntax of `ipvsadm -S`, which `ipvsadm -R` loads.
package enum IPVSText {
    /// Returns one line for each server and destination, sorted by key.
    package static func lines(_ servers: some Sequence<VirtualServer>) -> [String] {
        servers.sorted { $0.key < $1.key }.flatMap { server in
            [line(server)] + server.destinations.map { line($0, of: server.key) }
        }
    }

    package static func line(_ server: VirtualServer) -> String {
        var words = ["-A", name(server.key), "-s", server.scheduler]
        if let seconds = server.persistence { words += ["-p", "\(seconds)"] }
        let flags = flagNames(server)
        if !flags.isEmpty { words += ["-b", flags.joined(separator: ",")] }
        return words.joined(separator: " ")
    }

    package static func line(_ destination: Destination, of key: FrontendKey) -> String {
        "-a \(name(key)) -r \(destination.id) -m -w \(destination.weight)"
    }

    private static func name(_ key: FrontendKey) -> String {
        let option =
            switch key.transport {
            case .tcp: "-t"
            case .udp: "-u"
            case .sctp: "--sctp-service"
            }
        return "\(option) \(key.place)"
    }

    /// Returns the names that ipvsadm has for a server's scheduler flags.
    private static func flagNames(_ server: VirtualServer) -> [String] {
        let isHash = ["sh", "mh"].contains(server.scheduler)
        let names: [(VirtualServer.Flags, String)] = [
            (.schedulerFlag1, isHash ? "\(server.scheduler)-fallback" : "flag-1"),
            (.usesPort, isHash ? "\(server.scheduler)-port" : "flag-2"), (.ours, "flag-3"),
        ]
        return names.filter { server.flags.contains($0.0) }.map(\.1)
    }
}
