internal import ModelKernel
internal import NetworkTypes
internal import Netlink
internal import Synchronization

/// The kernel's routes, as far as an evaluation depends on them.
final class KernelRoutes: Sendable {
    private let lookup: Mutex<RouteLookup>

    init() throws(NetlinkError) { lookup = Mutex(try RouteLookup()) }

    var routing: Routing {
        Routing(
            addressType: { self.addressType($0) },
            way: { self.way($0) },
            interfaceIndex: { name in self.lookup.withLock { $0.interfaceIndex(name) } }
        )
    }

    /// Answers as `fib` does: what is not in the kernel's table of local addresses is unicast
    /// (`net/ipv4/fib_frontend.c: inet_addr_type`).
    private func addressType(_ address: IPAddress) -> Routing.AddressType? {
        ask(RouteQuestion(to: address)).map { answer in
            guard let answer else {
                return address.family == .ipv4 ? .unicast : .unreachable
            }
            return Routing.AddressType(rawValue: UInt32(answer.type)) ?? .unicast
        }
    }

    private func way(_ packet: Packet) -> Routing.Way? {
        var question = RouteQuestion(to: packet.destination)
        // IPVS sends packets of clients as the node's own, and asks for routes without their source.
        let isForeign = packet.inputInterface == nil && addressType(packet.source) != .local
        question.source = packet.isSourceUnknown || isForeign ? nil : packet.source
        question.inputInterface = packet.inputInterface
        question.mark = packet.mark ?? 0
        guard let answer = ask(question) else { return nil }
        switch answer {
        case nil: return .nowhere
        case let route? where route.isLocal: return .input
        case let route?: return route.interface.map(Routing.Way.forward)
        }
    }

    /// The address that the node has toward another one; nil if it has none.
    func ownAddress(toward address: IPAddress) -> IPAddress? {
        ask(RouteQuestion(to: address))??.preferredSource
    }

    /// The kernel's answer, which may be that there is no route; nil if it cannot be asked.
    private func ask(_ question: RouteQuestion) -> RouteAnswer?? {
        lookup.withLock { lookup in
            do throws(NetlinkError) {
                return .some(try lookup.route(question))
            } catch {
                return nil
            }
        }
    }
}
