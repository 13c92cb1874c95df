internal import CMnl
internal import CNftnl
internal import NFTables
internal import NetworkTypes
internal import Netlink

/// A test of whether the kernel can hash in rules (the module `nft_hash`).
enum HashProbe {
    private static let refusal = "adding a rule that hashes"

    /// Sends a transaction that cannot succeed, so that nothing changes, and looks at the error.
    ///
    /// The result is also true if another error hides the answer; programming will then report it.
    static func succeeds(_ socket: inout NetlinkSocket) -> Bool {
        var batch = NetlinkBatch(
            subsystem: Constant.subsystem,
            generation: nil,
            firstSequence: socket.nextSequence()
        )
        let name = "\(RulesetPrinter.tableName)-probe"
        append("adding a table", NFT_MSG_NEWTABLE, &batch) { LibraryTable(name: name).write($0) }
        append("adding a chain", NFT_MSG_NEWCHAIN, &batch) {
            LibraryChain(table: name, name: Chain.Name.services.text).write($0)
        }
        append(refusal, NFT_MSG_NEWRULE, &batch) {
            let bucket = KernelExpression.Hash(
                of: 1,
                length: 4,
                modulus: ClientBucket.count,
                seed: ClientBucket.seed,
                register: 1
            )
            let address = KernelExpression.payload(.network, offset: 12, length: 4, register: 1)
            LibraryRule(table: name, chain: .services, [address, .hash(bucket)]).write($0)
        }
        append("undoing that", NFT_MSG_DELCHAIN, &batch) {
            LibraryChain(table: name, name: Chain.Name.pick.text).write($0)
        }
        socket.advance(to: batch.sequenceAfter)
        do throws(NetlinkError) {
            try batch.commit(&socket, subsystem: Constant.subsystem)
        } catch {
            return error.operation != refusal || !(error.isNotFound || error.isUnsupported)
        }
        return true
    }

    private static func append(
        _ operation: String,
        _ type: nf_tables_msg_types,
        _ batch: inout NetlinkBatch,
        _ body: (UnsafeMutablePointer<nlmsghdr>) -> Void
    ) {
        batch.append(operation, type, .ipv4, flags: Constant.create, body)
    }
}
