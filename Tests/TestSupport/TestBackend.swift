package import Backend
package import NetworkTypes
package import ServicePlan

/// A backend of tests: what it does not say itself does nothing.
package protocol TestBackend: Backend {}

extension TestBackend {
    package var families: [IPFamily] { IPFamily.allCases }

    package func maintain() -> Maintenance { .finished }

    package func watch(_ tell: @escaping @Sendable (BackendEvent) async -> Void) async {}

    package func difference(_ plans: [ServicePlan], node: NodeFacts) -> [Difference] { [] }

    package func difference(for services: [ServicePlan], node: NodeFacts) -> [Difference] { [] }

    package func inspect(_ frontend: FrontendKey, client: IPAddress?) -> FrontendInspection {
        FrontendInspection()
    }

    package func evaluate(_ packets: [FirstPacket]) -> [Evaluation] {
        packets.map { _ in Evaluation([]) }
    }

    package func verify(_ packet: FirstPacket, _ origin: PacketOrigin) -> Verification {
        Verification(client: nil, frontend: packet.frontend, .cannotTell("there is no kernel"))
    }

    package func elementCounts() -> [ElementCount] { [] }

    package func connectionCounts() -> [String: UInt64] { [:] }

    package func forwardChains() -> [ForwardChain] { [] }

    package func clean(kubeProxy: Bool, dryRun: Bool) -> [Difference] { [] }
}
