internal import NetworkTypes

/// A rule of an ingress: which requests go to which Service.
struct IngressRule: Hashable {
    /// The name that clients have for the server; nil if it does not matter.
    var host: String?
    /// The beginning of the path, in whole elements.
    var path = "/"
    /// The Service's cluster IPs.
    let backends: [FrontendKey]
}

extension [IngressRule] {
    /// Returns nginx's configuration.
    ///
    /// - Parameters:
    ///   - port: where it listens, in both families
    ///   - directory: for its files
    func configuration(port: UInt16, directory: String) -> String {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
            "    \($0)_temp_path \"\(directory)/\($0)\";"
        }
        return """
            daemon off;
            worker_processes 1;
            pid "\(directory)/nginx.pid";
            error_log stderr;
            events { worker_connections 512; }
            http {
                log_format lab '$remote_addr $request_uri';
                access_log "\(directory)/access.log" lab;
            \(temporary.joined(separator: "\n"))
                proxy_set_header Host $http_host;
                proxy_set_header X-Forwarded-For $remote_addr;
            \(IPFamily.allCases.map { servers($0, port) }.joined(separator: "\n"))
            }

            """
    }

    /// Returns a server for each name in a family, with the backends that have the family.
    private func servers(_ family: IPFamily, _ port: UInt16) -> String {
        let address = family == .ipv4 ? "0.0.0.0:\(port)" : "[::]:\(port) ipv6only=on"
        let names: [String?] = [nil] + Set(compactMap(\.host)).sorted()
        return names.map { name in
            let rules = filter { $0.host == name }
            // Servers of one address share its socket and its options.
            let listen =
                name == nil
                ? "\(address) default_server"
                : String(
                    address.prefix { $0 != " " }
                )
            let lines =
                rules.flatMap { $0.locations(family) }
                + (rules.contains { $0.path == "/" } ? [] : ["location / { return 404; }"])
            return """
                    server {
                        listen \(listen);
                        server_name \(name ?? "_");
                \(lines.map { "        \($0)" }.joined(separator: "\n"))
                    }
                """
        }.joined(separator: "\n")
    }
}

extension IngressRule {
    /// The path itself, and what is below it.
    fileprivate func locations(_ family: IPFamily) -> [String] {
        guard let backend = backends.first(where: { $0.address.family == family }) else {
            return []
        }
        let address = family == .ipv4 ? "\(backend.address)" : "[\(backend.address)]"
        let pass = "{ proxy_pass http://\(address):\(backend.port); }"
        guard path != "/" else { return ["location / \(pass)"] }
        return ["location = \(path) \(pass)", "location \(path)/ \(pass)"]
    }
}
