internal import NetworkTypes

extension NetworkChecks {
    /// The name of a server that the ingress of the checks knows.
    static let ingressHost = "far.example"

    /// The rules of the checks' ingress: two Services by paths, one also by its name.
    static func ingressRules(_ services: NetworkServices) throws -> [IngressRule] {
        let backends = { (service: NetworkServices.Entry) in
            try [IPFamily.ipv4, .ipv6].map { try FrontendKey(service.clusterIP($0), .tcp, 80) }
        }
        let near = try backends(services.near)
        let far = try backends(services.far[0])
        return [
            IngressRule(path: "/near", backends: near), IngressRule(path: "/far", backends: far),
            IngressRule(host: ingressHost, backends: far),
        ]
    }

    /// A client outside reaches two Services by way of an nginx in a pod.
    ///
    /// With policy Local, nginx sees the client; the Services' pods see nginx, which names the
    /// client.
    func ingress() throws -> Result {
        guard let server = cluster.ingress, let entries = services.ingress else {
            return .left(IngressServer.lack ?? "the cluster has no ingress")
        }
        let nodes = topology.nodes
        let last = nodes[nodes.count - 1]
        var ways: [(target: FrontendKey, client: Set<String>)] = [
            (try FrontendKey(address(nodes[0]), .tcp, entries.local.nodePort), [clientAddress]),
            (
                try FrontendKey(address(last), .tcp, entries.all.nodePort),
                try Self.addresses(last)
            ),
        ]
        if family == .ipv4 {
            let balancer = entries.local.loadBalancerIP
            ways.append((try FrontendKey(balancer, .tcp, 80), [clientAddress]))
        }
        let requests: [(HTTPRequest, NetworkServices.Entry?)] = [
            (HTTPRequest(path: "/near"), services.near),
            (HTTPRequest(path: "/far/1"), services.far[0]),
            (HTTPRequest(path: "/", host: Self.ingressHost), services.far[0]),
            (HTTPRequest(path: "/nearby"), nil),
        ]
        for (way, (target, client)) in ways.enumerated() {
            try waitUntil("\(target) does not answer for the ingress") {
                try HTTPRequest().send(to: target, from: topology.client, patience: 1).isAnswer
            }
            for (number, (request, service)) in requests.enumerated() {
                // A query tells the requests apart in nginx's log.
                var request = request
                request.path += "?\(family)-\(way)-\(number)"
                let result = try ask(request, target, server, service, client)
                guard case .passed = result else { return result }
            }
        }
        return .passed
    }

    private func ask(
        _ request: HTTPRequest,
        _ target: FrontendKey,
        _ server: IngressServer,
        _ service: NetworkServices.Entry?,
        _ client: Set<String>
    ) throws -> Result {
        let outcome = try request.send(to: target, from: topology.client, patience: 10)
        let what = "\(target)\(request.path)\(request.host.map { " of \($0)" } ?? "")"
        guard case .answered(let answer) = outcome else { return .failed("\(what): \(outcome)") }
        // nginx writes its log after the answer.
        var noted: [String] = []
        try waitUntil("\(what): nginx notes no request") {
            noted = server.requests.compactMap { line in
                let words = line.split(separator: " ").map(String.init)
                return words.count == 2 && words[1] == request.path ? words[0] : nil
            }
            return !noted.isEmpty
        }
        guard noted.count == 1, client.contains(noted[0]) else {
            return .failed("\(what): nginx notes \(noted.joined(separator: ", "))")
        }
        guard let service else {
            return answer.status == 404 ? .passed : .failed("\(what): status \(answer.status)")
        }
        let seen = kind.masqueradesPods ? nodeAddresses : [address(server.pod)]
        let said = answer.body.split { $0 == " " || $0 == "\n" }.map(String.init)
        guard answer.status == 200, said.count == 3,
            service.pods.contains(where: { $0.name == said[0] }), seen.contains(said[1]),
            said[2] == noted[0]
        else { return .failed("\(what): \(answer.status) \(answer.body)") }
        return .passed
    }
}
