internal import ArgumentParser
internal import Backend
internal import Configuration
internal import Netlink
internal import NetworkTypes
internal import PlanCompiler

/// The options of `explain` that let it look at a real packet.
struct VerificationOptions: ParsableArguments {
    @Flag(
        help: """
            Send a real packet of each flow from this node, have its way through the rules traced, and \
            compare that with the answer.
            """
    )
    var verify = false

    @Option(
        help: """
            With --verify and --from: do not send a packet, but wait so long (30s) for the next connection \
            of the client.
            """,
        transform: { try TimeSpan(waiting: $0) }
    )
    var wait: TimeSpan?

    func validate() throws {
        if wait != nil, !verify { throw ValidationError("--wait has an effect with --verify only") }
    }

    /// The packets of what was explained, each with what its way shows; nil if nobody asked for that.
    func verifications(
        _ explainer: Explainer,
        _ document: Explanation,
        _ wanted: Wanted,
        from client: ConnectionSource?
    ) async -> [Verification]? {
        guard verify else { return nil }
        return await explainer.verifications(document, wanted, from: client, waiting: wait)
    }
}

extension TimeSpan {
    fileprivate init(waiting text: String) throws {
        guard let value = TimeSpan(text), value.seconds > 0 else {
            throw ValidationError("\"\(text)\" is not a duration, as in 30s")
        }
        self = value
    }
}

extension Explainer {
    /// Sends a packet for each frontend of what was explained, or waits for one, and returns what its
    /// way shows.
    func verifications(
        _ document: Explanation,
        _ wanted: Wanted,
        from client: ConnectionSource? = nil,
        waiting: TimeSpan? = nil
    ) async -> [Verification] {
        var found: [Verification] = []
        for packet in packets(document, wanted, from: client) {
            found.append(await verification(packet, waiting))
        }
        return found
    }

    private func verification(_ packet: FirstPacket, _ wait: TimeSpan?) async -> Verification {
        let cannotTell = { (reason: String) in
            Verification(client: nil, frontend: packet.frontend, .cannotTell(reason))
        }
        if packet.interface != nil, wait == nil {
            let client = packet.source
            return cannotTell(
                "\(client) is not an address of this node, which cannot send its packets; --wait 30s waits"
                    + " for its next connection"
            )
        }
        let origin = wait.map { PacketOrigin.awaited(.seconds($0.seconds)) } ?? .sent
        switch backend {
        case .success(let backend): return await backend.verify(packet, origin)
        case .failure(let error): return cannotTell("\(error)")
        }
    }

    /// A packet for each frontend: of the client, or of this node.
    private func packets(
        _ document: Explanation,
        _ wanted: Wanted,
        from client: ConnectionSource?
    ) -> [FirstPacket] {
        var keys = document.frontends.map(\.key)
        if keys.isEmpty, document.forwarded.isEmpty,
            case .frontend(let address, let port?, let transport) = wanted
        {
            keys = [FrontendKey(address, transport ?? .tcp, port)]
        }
        return keys.compactMap { key in
            guard let place = place(client, toward: key.address) else { return nil }
            return FirstPacket(from: place.address, client?.port ?? 0, to: key, by: place.interface)
        }
    }

    private func place(
        _ client: ConnectionSource?,
        toward frontend: IPAddress
    ) -> ClientChoice.Place? {
        if let address = client?.address {
            guard address.family == frontend.family else { return nil }
            // An interface stands for a client elsewhere, whatever leads to it.
            return clients.place(of: address, clients.kind(address)) ?? (address, "")
        }
        return clients.node(toward: frontend)
    }
}
