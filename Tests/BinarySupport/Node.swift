internal import Glibc
package import NetworkNamespaces

/// A client, a node and its pods, each in a network namespace: `client — node — pods`.
package final class Node {
    package let namespace: NetworkNamespace
    package let client: NetworkNamespace
    package let folder: Folder
    package var clientName: String { names[1] }
    package static let address = "192.0.2.1"
    package static let address6 = "fd00:192::1"
    package static let clientAddress = "192.0.2.9"
    private let names: [String]
    /// The `nodePortAddresses` of the node.
    package var nodePortAddresses = "primary"

    /// Creates the namespaces.
    ///
    /// - Parameter pods: the last parts of the pods' addresses in 10.244.1.0/24
    package init(pods: [Int] = [2, 3]) throws {
        let prefix = "nltest-\(getpid())-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        names = ["node", "client"].map { "\(prefix)-\($0)" } + pods.map { "\(prefix)-pod\($0)" }
        for name in names { try Command.run(["ip", "netns", "add", name]) }
        namespace = try NetworkNamespace(named: names[0])
        client = try NetworkNamespace(named: names[1])
        folder = try Folder()
        try namespace.ip([
            "link set lo up", "link add eth0 type veth peer name eth0 netns \(names[1])",
            "addr add \(Self.address)/24 dev eth0",
            "addr add \(Self.address6)/64 dev eth0 nodad", "link set eth0 up",
            "link add cni0 type bridge", "addr add 10.244.1.1/24 dev cni0",
            "addr add fd00:1::1/64 dev cni0 nodad", "link set cni0 up",
            "route add default via \(Self.clientAddress)",
        ])
        try namespace.setSysctl("net/ipv4/ip_forward", "1")
        try namespace.setSysctl("net/ipv6/conf/all/forwarding", "1")
        try client.ip([
            "link set lo up", "addr add \(Self.clientAddress)/24 dev eth0",
            "addr add fd00:192::9/64 dev eth0 nodad", "link set eth0 up",
            "route add default via \(Self.address)", "route add default via \(Self.address6)",
        ])
        for (pod, name) in zip(pods, names[2...]) {
            try namespace.ip([
                "link add p\(pod) type veth peer name eth0 netns \(name)",
                "link set p\(pod) master cni0", "link set p\(pod) up",
                "link set p\(pod) type bridge_slave hairpin on",
            ])
            try NetworkNamespace(named: name).ip([
                "link set lo up", "addr add 10.244.1.\(pod)/24 dev eth0",
                "addr add fd00:1::\(pod)/64 dev eth0 nodad", "link set eth0 up",
                "route add default via 10.244.1.1", "route add default via fd00:1::1",
            ])
        }
        // Its interfaces have had no carrier before.
        try namespace.settle()
    }

    deinit {
        for name in names { _ = try? Command.run(["ip", "netns", "delete", name]) }
    }

    package func pod(_ index: Int) throws -> NetworkNamespace {
        try NetworkNamespace(named: names[2 + index])
    }

    // MARK: needletail

    package var flags: [String] {
        [
            "--manifests", folder.path, "--hostname-override", "here",
            "--node-ip", "\(Self.address),\(Self.address6)",
            "--cluster-cidr", "10.244.0.0/16,fd00:1::/48",
            "--nodeport-addresses", nodePortAddresses,
        ]
    }

    package func once(_ mode: String, _ more: [String] = []) throws -> Binary.Result {
        try Binary.run(["run", "--once", "--mode", mode, "-v", "2"] + flags + more, in: namespace)
    }

    package func command(_ words: [String]) throws -> Binary.Result {
        try Binary.run(words + flags, in: namespace)
    }

    package func daemon(_ mode: String, _ more: [String] = []) throws -> Daemon {
        try Daemon(
            ["--mode", mode, "-v", "2"] + flags + more,
            in: namespace,
            log: "\(folder.path)/.log"
        )
    }

    /// Starts a command that goes on.
    package func start(_ command: String, _ words: [String]) throws -> Daemon {
        try Daemon(
            words + flags,
            of: command,
            in: namespace,
            log: "\(folder.path)/.\(command)-\(UInt32.random(in: 0 ... .max))"
        )
    }

    /// The output of Debian's ipvsadm, sorted.
    package func ipvsadm() throws -> [String] { try namespace.run(["ipvsadm", "-Sn"]).sortedLines }

    package func addresses() throws -> String {
        try namespace.run(["ip", "-br", "addr", "show", "dev", "kube-ipvs0"])
    }

    /// Writes a Service, shop/web by default, whose endpoints are given by their last part in 10.244.1.0/24.
    ///
    /// - Parameter elsewhere: the endpoints that are listed as being on another node
    package func write(
        _ endpoints: [Int],
        ports: String = "{name: http, port: 80}",
        spec: String = "",
        annotations: String = "",
        ingress: String = "",
        targets: String = "{name: http, port: 8080}",
        elsewhere: [Int] = [],
        name: String = "web",
        in namespace: String = "shop"
    ) throws {
        let list = endpoints.map {
            "{addresses: [10.244.1.\($0)], nodeName: \(elsewhere.contains($0) ? "there" : "here")}"
        }
        .joined(separator: ", ")
        try folder.write(
            """
            apiVersion: v1
            kind: Service
            metadata: {name: \(name), namespace: \(namespace), annotations: {\(annotations)}}
            spec: {clusterIP: 10.96.0.10, ports: [\(ports)]\(spec.isEmpty ? "" : ", \(spec)")}
            status: {loadBalancer: {ingress: [\(ingress)]}}
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: \(name)-1, namespace: \(namespace), labels: {kubernetes.io/service-name: \(name)}}
            addressType: IPv4
            ports: [\(targets)]
            endpoints: [\(list)]

            """,
            to: "web.yaml"
        )
    }
}

extension String {
    package var sortedLines: [String] { split(separator: "\n").map(String.init).sorted() }
}

/// A TCP socket in a namespace, or one of another protocol with connections.
package final class Stream: Sendable {
    package let descriptor: Int32

    private init(_ descriptor: Int32) {
        self.descriptor = descriptor
        limit(60)
    }

    /// Limits the time of each call.
    private func limit(_ seconds: Int) {
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(
                descriptor,
                SOL_SOCKET,
                option,
                &limit,
                socklen_t(MemoryLayout<timeval>.size)
            )
        }
    }

    deinit { close(descriptor) }

    private static func bound(
        _ host: String,
        _ port: UInt16,
        _ transport: Int
    ) throws -> Stream {
        let family = host.contains(":") ? AF_INET6 : AF_INET
        let stream = Stream(
            socket(
                family,
                Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue),
                Int32(transport)
            )
        )
        var on: Int32 = 1
        setsockopt(stream.descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        guard withSocketAddress(host, port, { bind(stream.descriptor, $0, $1) }) == 0 else {
            throw CommandError("cannot bind \(host) port \(port): \(errno)")
        }
        return stream
    }

    /// Opens a listening socket.
    ///
    /// - Parameters: - host: the address; `::` accepts both families - transport: an `IPPROTO_…`
    ///   constant
    package static func listening(
        _ namespace: NetworkNamespace,
        _ host: String = "::",
        port: UInt16,
        transport: Int = IPPROTO_TCP
    ) throws -> Stream {
        try namespace.inside {
            let stream = try bound(host, port, transport)
            guard listen(stream.descriptor, 128) == 0 else {
                throw CommandError("cannot listen: \(errno)")
            }
            return stream
        }
    }

    /// Connects; nil if the connection is refused or not answered.
    ///
    /// - Parameters: - source: the client's port; 0 for any - seconds: how long to wait for an
    ///   answer
    package static func connecting(
        _ namespace: NetworkNamespace,
        _ host: String,
        _ port: UInt16,
        from source: UInt16 = 0,
        limit seconds: Int = 60,
        transport: Int = IPPROTO_TCP
    ) throws -> Stream? {
        try namespace.inside {
            let stream = try bound(host.contains(":") ? "::" : "0.0.0.0", source, transport)
            stream.limit(seconds)
            let result = withSocketAddress(host, port) { connect(stream.descriptor, $0, $1) }
            return result == 0 ? stream : nil
        }
    }

    /// Ends the connection with a reset.
    ///
    /// The port is free at once, even if a program that is just being started holds the descriptor,
    /// too.
    package func reset() {
        var address = sockaddr()
        address.sa_family = sa_family_t(AF_UNSPEC)
        connect(descriptor, &address, socklen_t(MemoryLayout<sockaddr>.size))
    }

    package func accepted() -> Stream { Stream(accept(descriptor, nil, nil)) }

    /// The address of the other end.
    package var peer: String? {
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var host = [CChar](repeating: 0, count: 64)
        let status = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                getpeername(descriptor, address, &length) == 0
                    ? getnameinfo(address, length, &host, 64, nil, 0, NI_NUMERICHOST) : -1
            }
        }
        guard status == 0 else { return nil }
        return String(decoding: host.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Whether a byte sent here arrives at the other socket.
    package func reaches(_ other: Stream) -> Bool {
        var byte: UInt8 = 42
        guard send(descriptor, &byte, 1, Int32(MSG_NOSIGNAL)) == 1 else { return false }
        byte = 0
        return recv(other.descriptor, &byte, 1, 0) == 1 && byte == 42
    }
}
