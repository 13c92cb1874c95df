internal import CNftnl
internal import ModelKernel
internal import NFTables
internal import Netlink

/// Asks the kernel for single elements of sets, and remembers the answers.
final class KernelElements: ElementSource {
    private struct Question: Hashable {
        let table: Ruleset.TableID
        let set: String
        /// Nil: the element for all keys that no other element has.
        let key: [UInt8]?
    }

    private var socket: NetlinkSocket
    private var answers: [Question: Finding] = [:]

    init(recorder: RequestRecorder?) throws(NetlinkError) {
        socket = try NetlinkSocket(.netfilter)
        socket.recorder = recorder
    }

    /// Finds the element that a lookup finds (`net/netfilter/nft_lookup.c: nft_lookup_eval`).
    func find(_ key: [UInt8], in set: String, of table: Ruleset.TableID) -> Finding {
        let finding = answer(Question(table: table, set: set, key: key))
        guard finding == .missing else { return finding }
        return answer(Question(table: table, set: set, key: nil))
    }

    private func answer(_ question: Question) -> Finding {
        if let known = answers[question] { return known }
        let answer: Finding
        do throws(NetlinkError) {
            answer = try ask(question)
        } catch {
            // Kernels before Linux 5.13 know no element for all keys.
            answer =
                question.key == nil
                ? .missing : .unknown("an element of set \(question.set) cannot be read")
        }
        answers[question] = answer
        return answer
    }

    private func ask(_ question: Question) throws(NetlinkError) -> Finding {
        var finding = Finding.missing
        try socket.ask(
            "reading an element of set \(question.set) of table \(question.table.name)",
            NFT_MSG_GETSETELEM,
            netfilterFamily: question.table.family.rawValue,
            attributes: { buffer in
                buffer.appendElement(of: question.set, question.table.name) { element in
                    guard let key = question.key else {
                        let type = UInt16(NFTA_SET_ELEM_FLAGS.rawValue)
                        return element.attribute(type, bigEndian: Self.isCatchAll)
                    }
                    key.withUnsafeBytes { element.appendKey($0) }
                }
            },
            { message in
                let list = message.netfilterAttributes[
                    Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue)
                ]
                if let element = list?.nested[Int(NFTA_LIST_ELEM.rawValue)] {
                    finding = Self.read(element.nested)
                }
            }
        )
        return finding
    }

    /// The value of `NFT_SET_ELEM_CATCHALL`.
    private static let isCatchAll: UInt32 = 2

    private static func read(_ element: AttributeReader) -> Finding {
        var value = Ruleset.Value.none
        for attribute in element {
            switch UInt32(attribute.type) {
            case NFTA_SET_ELEM_FLAGS.rawValue:
                let flags = attribute.bigEndianWord ?? 0
                if flags & UInt32(NFT_SET_ELEM_INTERVAL_END.rawValue) != 0 { return .missing }
            case NFTA_SET_ELEM_DATA.rawValue:
                guard let data = read(data: attribute.nested) else {
                    return .unknown("the data of an element cannot be read")
                }
                value = data
            case NFTA_SET_ELEM_EXPR.rawValue:
                guard isCounter(attribute.nested) else { return .unknown(limited) }
            case NFTA_SET_ELEM_EXPRESSIONS.rawValue:
                guard attribute.nested.allSatisfy({ isCounter($0.nested) }) else {
                    return .unknown(limited)
                }
            default: break
            }
        }
        return .found(value)
    }

    private static let limited = "an element has a limit or a quota of its own"

    private static func isCounter(_ expression: AttributeReader) -> Bool {
        ["counter", "last"].contains(expression[Int(NFTA_EXPR_NAME.rawValue)]?.text)
    }

    private static func read(data: AttributeReader) -> Ruleset.Value? {
        if let bytes = data[Int(NFTA_DATA_VALUE.rawValue)]?.payload { return .data(Array(bytes)) }
        guard let verdict = data[Int(NFTA_DATA_VERDICT.rawValue)]?.nested,
            let code = verdict[Int(NFTA_VERDICT_CODE.rawValue)]?.bigEndianWord,
            let known = KernelExpression.Verdict(rawValue: Int32(bitPattern: code))
        else { return nil }
        return .verdict(known, verdict[Int(NFTA_VERDICT_CHAIN.rawValue)]?.text)
    }
}
