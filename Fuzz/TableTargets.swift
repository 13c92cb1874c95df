import Backend
import ModelKernel
import NetworkTypes
import ServicePlan

@testable import KubeProxyLeftovers
@testable import NFTables
@testable import NFTablesKernel
@testable import Netlink

private let frontend = FrontendKey(IPAddress(ipv4: 0x0A60_000A), .tcp, 80)
private let reader = TableReader(family: .ipv4)

/// Dumps of nf_tables.
func tables(_ input: UnsafeRawBufferPointer) {
    ask(
        input,
        [
            { try netfilter { _ = try reader.read(&$0) } },
            { try netfilter { _ = try TableReader(family: .ipv6).read(&$0) } },
            { try netfilter { _ = try RulesetReader.read(&$0) } },
            { try netfilter { _ = try ForwardChain.read(&$0) } }, leftovers, elements,
            { try netfilter(affinity) }, { try netfilter(sets) }, news, stopped,
            { try netfilter(staleAffinity) },
        ]
    )
}

private func netfilter(_ body: (inout NetlinkSocket) throws -> Void) throws {
    var socket = try NetlinkSocket(.netfilter)
    try body(&socket)
}

private func leftovers() throws {
    try netfilter {
        let rules = try KubeProxyRules(&$0)
        _ = rules.differences
        if !rules.isEmpty { try rules.remove(&$0) }
    }
}

private func elements() throws {
    let elements = try KernelElements(recorder: RequestRecorder())
    let table = Ruleset.TableID(Ruleset.Family(.ipv4), "needletail")
    for key: UInt8 in 0..<4 {
        _ = elements.find([10, 96, 0, key], in: "cluster-ips", of: table)
    }
}

private func affinity(_ socket: inout NetlinkSocket) throws {
    let map = AffinityMap(reader: reader)
    _ = try map.endpoint(of: IPAddress(ipv4: 1), at: frontend, &socket)
    _ = try map.count(&socket)
    _ = try reader.connectionCounts(&socket)
}

private func staleAffinity(_ socket: inout NetlinkSocket) throws {
    var contents = TableContents()
    let key = ElementBytes(frontend)
    for set in [SetID.frontends, .sticky] {
        contents.elements[set] = ElementTable([Element(key: key)])
    }
    var former = FormerFrontends()
    former.add(contents, .ipv4)
    let stale = StaleEntries(everything: [], node: NodeFacts(), former: former)
    var lastSeen: Int?
    _ = try AffinityMap(reader: reader).removeStale(stale, &lastSeen, &socket)
}

private func sets(_ socket: inout NetlinkSocket) throws {
    for id: SetID in [.podCIDRs, .stickyTimeouts, .frontends] {
        _ = try reader.elements(of: SetDefinition(id), &socket)
    }
    var key = ElementBytes()
    key.append(IPAddress(ipv4: 0x0AF4_0000))
    _ = try reader.range(from: key, of: SetDefinition(.podCIDRs), &socket)
}

private func news() throws {
    var listener = try RulesetListener(ignoring: 0)
    listener.forwardChains = [ChainPlace(2, "filter", "FORWARD")]
    _ = listener.news()
    try netfilter { _ = try RulesetListener.generation(&$0) }
}

private func stopped() throws {
    let block = IPPrefix("10.0.0.0/8")
    let places = StoppedPlaces(
        frontends: [frontend],
        addresses: [frontend.address],
        blocks: block.map { [$0] } ?? []
    )
    let stopped = try StoppedPackets(.ipv4, to: places.part(.ipv4), from: block)
    for _ in 0..<2 { _ = try stopped.read() }
    try stopped.change(to: StoppedPlaces(blocks: places.blocks))
}
