internal import Glibc
package import NetworkNamespaces

/// A client with connections to a Service's NodePort, external IP and load balancer VIP, whom the
/// Service refuses while they are open.
package struct RefusedClient {
    package let node: Node
    private let listener: Stream
    /// Each with its other end, in the pod.
    private let refused: [(client: Stream, pod: Stream)]
    private let other: (client: Stream, pod: Stream)

    package static let places: [(host: String, port: UInt16)] = [
        (Node.address, 30080), ("203.0.113.7", 80), ("203.0.113.8", 80),
    ]

    /// Opens the connections, and one from a pod.
    ///
    /// - Parameter program: makes the node do what its folder says
    package init(_ node: Node, program: () throws -> Void) throws {
        self.node = node
        try Self.write(node, annotations: "")
        try program()
        let listener = try Stream.listening(node.pod(0), port: 8080)
        let open = { (from: NetworkNamespace, place: (host: String, port: UInt16)) in
            guard let stream = try Stream.connecting(from, place.host, place.port) else {
                throw CommandError("\(place.host) port \(place.port): not connected")
            }
            let pod = listener.accepted()
            guard stream.reaches(pod), pod.reaches(stream) else {
                throw CommandError("\(place.host) port \(place.port): no way to the pod")
            }
            return (stream, pod)
        }
        refused = try Self.places.map { try open(node.client, $0) }
        other = try open(node.pod(1), Self.places[0])
        self.listener = listener
    }

    package static func write(_ node: Node, annotations: String) throws {
        try node.write(
            [2],
            ports: "{name: http, port: 80, nodePort: 30080}",
            spec: "type: LoadBalancer, externalIPs: [203.0.113.7]",
            annotations: annotations,
            ingress: "{ip: 203.0.113.8}"
        )
    }

    /// The places whose connections of this client are still tracked.
    package func tracked(_ client: String) throws -> [String] {
        try node.namespace.run(["conntrack", "-L", "-p", "tcp", "--orig-src", client])
            .split(separator: "\n").compactMap { line in
                line.split(separator: " ").first { $0.hasPrefix("dst=") }.map {
                    "\($0.dropFirst(4))"
                }
            }.sorted()
    }

    /// Sends on the open connections of the refused client, both ways; returns whether the rules have
    /// dropped all that the client has sent.
    package func sendsInVain() throws -> Bool {
        let before = try dropped()
        var byte: UInt8 = 42
        for (client, _) in refused { send(client.descriptor, &byte, 1, Int32(MSG_NOSIGNAL)) }
        let deadline = ContinuousClock.now + .seconds(60)
        // TCP repeats what is lost.
        while try dropped() < before + UInt64(refused.count), .now < deadline { usleep(10_000) }
        for (_, pod) in refused { send(pod.descriptor, &byte, 1, Int32(MSG_NOSIGNAL)) }
        return try dropped() >= before + UInt64(refused.count)
    }

    /// Whether something has come through one of the refused connections.
    package var hasReceived: Bool {
        refused.contains { pair in
            [pair.client, pair.pod].contains { stream in
                var byte: UInt8 = 0
                return recv(stream.descriptor, &byte, 1, Int32(MSG_DONTWAIT)) == 1
            }
        }
    }

    /// Whether the connection of the other client goes on, both ways.
    package var otherGoesOn: Bool {
        other.client.reaches(other.pod) && other.pod.reaches(other.client)
    }

    /// Whether new connections are made, for each place.
    package func connects(
        _ from: NetworkNamespace,
        to places: [(host: String, port: UInt16)] = places
    ) throws -> [Bool] {
        try places.map {
            try Stream.connecting(from, $0.host, $0.port, limit: 1)?.reaches(listener.accepted())
                ?? false
        }
    }

    private func dropped() throws -> UInt64 {
        let chains = try ["source-ranges", "invalid"].map {
            try node.namespace.run(["nft", "list", "chain", "ip", "needletail", $0])
        }
        let counts = chains.joined().split(separator: "counter packets ").dropFirst()
        return counts.compactMap { text in UInt64(text.prefix { $0.isNumber }) }.reduce(0, +)
    }
}
