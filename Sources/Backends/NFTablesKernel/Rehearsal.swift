package import Backend
internal import CNftnl
package import NFTables
internal import NetworkTypes
internal import Netlink
package import ServicePlan

extension TableProgrammer {
    /// Tries whether the kernel takes all rules and sets, and changes nothing: the last operation of the
    /// transaction cannot succeed, so the kernel undoes the others.
    ///
    /// - Throws: the first operation that the kernel refuses before that
    package func rehearse(_ node: NodeFacts, role: TableRole) throws(CommitError) {
        try CommitError.translating { () throws(NetlinkError) in
            for family in families {
                var batch = NetlinkBatch(
                    subsystem: Constant.subsystem,
                    generation: nil,
                    firstSequence: netlink.socket.nextSequence()
                )
                let (state, changes) = TableState.adopting(
                    .missing,
                    [Self.everything(family)],
                    known(TableInputs(node, role: role)),
                    family
                )
                TransactionEncoder(TableTransaction(program: state.program, changes: changes))
                    .encode(into: &batch)
                batch.append(Self.refusal, NFT_MSG_DELCHAIN, family, flags: Constant.request) {
                    LibraryChain(table: RulesetPrinter.tableName, name: "none").write($0)
                }
                netlink.socket.advance(to: batch.sequenceAfter)
                do throws(NetlinkError) {
                    try batch.commit(&netlink.socket, subsystem: Constant.subsystem)
                } catch  where error.operation == Self.refusal && error.isNotFound {
                    continue
                }
            }
        }
    }

    private static let refusal = "undoing the trial"

    /// A Service that needs every kind of set and rule.
    private static func everything(_ family: IPFamily) -> ServicePlan {
        // Addresses of documents (RFC 5737, RFC 3849).
        let last = { (number: UInt32) in
            family == .ipv4
                ? IPAddress(ipv4: 0xCB00_7100 + number)
                : IPAddress(ipv6High: 0x2001_0DB8_0000_0000, low: UInt64(number))
        }
        let actions: [Frontend.Action] = [
            .balance(pool: 0), .split(cluster: 0, local: 1), .reject, .drop,
        ]
        let frontends = actions.enumerated().map { index, action in
            Frontend(
                key: FrontendKey(last(UInt32(1 + index)), .tcp, 80),
                kind: index == 0 ? .clusterIP : .loadBalancerVIP,
                portName: "",
                action: action,
                masquerade: index == 1 ? .node : .nonPods,
                affinityTimeout: index == 0 ? 10_800 : nil,
                allowedSources: index == 1 ? [IPPrefix(host: last(9))] : nil
            )
        }
        let endpoint = Endpoint(last(10), 8080, isLocal: true)
        return ServicePlan(
            service: "trial/trial",
            frontends: frontends,
            pools: [Pool([endpoint]), Pool([endpoint])]
        )
    }
}
