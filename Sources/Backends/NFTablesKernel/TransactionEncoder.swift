internal import CMnl
internal import CNftnl
internal import NFTables
internal import NetworkTypes
internal import Netlink

/// Writes the changes of one table into a batch.
struct TransactionEncoder {
    private let program: Program
    private let changes: Changeset

    init(_ transaction: TableTransaction) {
        (program, changes) = (transaction.program, transaction.changes)
    }

    private var family: IPFamily { program.family }
    private var table: String { RulesetPrinter.tableName }
    private var place: String { "table \(family.nftName) \(table)" }

    func encode(into batch: inout NetlinkBatch) {
        for operation in changes.operations(program) { append(operation, &batch) }
    }

    private func append(_ operation: TableOperation, _ batch: inout NetlinkBatch) {
        switch operation {
        case .addTable: append(NFT_MSG_NEWTABLE, "adding", &batch)
        case .deleteTable: append(NFT_MSG_DELTABLE, "replacing", &batch)
        case .addSet(let set): add(set, &batch)
        case .addChain(let chain): add(chain, &batch)
        case .addRule(let rule, let chain): add(rule, to: chain, &batch)
        case .emptyChain(let chain): empty(chain, &batch)
        case .removeElements(let elements, let set):
            writer(set).append(elements, isDeletion: true, to: &batch)
        case .addElements(let elements, let set):
            writer(set).append(elements, isDeletion: false, to: &batch)
        case .deleteChain(let chain): delete(chain, &batch)
        case .deleteSet(let set): delete(set, &batch)
        }
    }

    private func writer(_ id: SetID) -> ElementWriter {
        ElementWriter(family: family, table: table, set: SetDefinition(id))
    }

    /// Removes the table, which must be there, with all that is in it.
    static func removeTable(_ family: IPFamily, _ batch: inout NetlinkBatch) {
        let encoder = TransactionEncoder(.init(program: Program(family), changes: Changeset()))
        encoder.append(NFT_MSG_DELTABLE, "removing", &batch)
    }

    private func append(
        _ type: nf_tables_msg_types,
        _ verb: String,
        _ batch: inout NetlinkBatch
    ) {
        append("\(verb) \(place)", type, Constant.create, &batch) { header in
            LibraryTable(name: table, userData: Self.comment(RulesetPrinter.tableComment))
                .write(header)
        }
    }

    /// Returns a comment as libnftnl's TLV `NFTNL_UDATA_TABLE_COMMENT`, with a closing zero.
    static func comment(_ text: String) -> [UInt8] {
        [0, UInt8(text.utf8.count + 1)] + Array(text.utf8) + [0]
    }

    private func delete(_ chain: Chain.Name, _ batch: inout NetlinkBatch) {
        append(
            "deleting chain \(chain.text) of \(place)",
            NFT_MSG_DELCHAIN,
            Constant.request,
            &batch
        ) { LibraryChain(table: table, name: chain.text).write($0) }
    }

    private func empty(_ chain: Chain.Name, _ batch: inout NetlinkBatch) {
        append(
            "emptying chain \(chain.text) of \(place)",
            NFT_MSG_DELRULE,
            Constant.request,
            &batch
        ) { LibraryRule(table: table, chain: chain, []).write($0) }
    }

    private func add(_ rule: Rule, to chain: Chain.Name, _ batch: inout NetlinkBatch) {
        let text = RulesetPrinter(family).text(rule)
        append(
            "adding rule \"\(text)\" to chain \(chain.text) of \(place)",
            NFT_MSG_NEWRULE,
            Constant.append,
            &batch
        ) { LibraryRule(table: table, chain: chain, rule.expressions(family)).write($0) }
    }

    private func add(_ chain: Chain, _ batch: inout NetlinkBatch) {
        append(
            "adding chain \(chain.name.text) to \(place)",
            NFT_MSG_NEWCHAIN,
            Constant.create,
            &batch
        ) { header in
            let handle = LibraryChain(table: table, name: chain.name.text)
            if let base = chain.base {
                handle.setBase(base.type, base.hook, priority: base.priority)
            }
            handle.write(header)
        }
    }

    private func add(_ set: SetDefinition, _ batch: inout NetlinkBatch) {
        append(
            "adding set \(set.id.name) to \(place)",
            NFT_MSG_NEWSET,
            Constant.create,
            &batch
        ) { header in
            let handle = LibrarySet()
            handle.set(NFTNL_SET_TABLE, table)
            handle.set(NFTNL_SET_NAME, set.id.name)
            // The kernel requires an ID; nothing in this batch uses it.
            handle.set(NFTNL_SET_ID, 1)
            handle.set(NFTNL_SET_FLAGS, set.flags)
            handle.set(NFTNL_SET_KEY_TYPE, set.key.dataType(family))
            handle.set(NFTNL_SET_KEY_LEN, UInt32(set.keyLength(family)))
            if let data = set.data {
                handle.set(NFTNL_SET_DATA_TYPE, data.dataType(family))
                handle.set(NFTNL_SET_DATA_LEN, UInt32(set.dataLength(family)))
            }
            if let size = set.size { handle.set(NFTNL_SET_DESC_SIZE, size) }
            if let timeout = set.timeout { handle.timeout = UInt64(timeout) * 1000 }
            handle.set(NFTNL_SET_USERDATA, SetUserData.bytes(set, family))
            if set.hasCounter { handle.addCounter() }
            handle.write(header)
        }
    }

    private func delete(_ id: SetID, _ batch: inout NetlinkBatch) {
        append("deleting set \(id.name) of \(place)", NFT_MSG_DELSET, Constant.request, &batch) {
            let handle = LibrarySet()
            handle.set(NFTNL_SET_TABLE, table)
            handle.set(NFTNL_SET_NAME, id.name)
            handle.write($0)
        }
    }

    private func append(
        _ operation: String,
        _ type: nf_tables_msg_types,
        _ flags: UInt16,
        _ batch: inout NetlinkBatch,
        _ body: (UnsafeMutablePointer<nlmsghdr>) -> Void
    ) {
        batch.append(operation, type, family, flags: flags, body)
    }
}
