internal import CNftnl
internal import NFTables
internal import NetworkTypes
internal import Netlink

/// Writes elements in as few messages as possible.
///
/// A message's list of elements is a nested attribute, whose length has 16 bits.
struct ElementWriter {
    let family: IPFamily
    let table: String
    let set: SetDefinition

    private static let listCapacity = 60_000

    /// Appends the addition or deletion of all elements to the batch.
    func append(
        _ elements: some Collection<Element>,
        isDeletion: Bool,
        to batch: inout NetlinkBatch
    ) {
        var rest = Array(elements)[...]
        let place = "set \(set.id.name) of table \(family.nftName) \(table)"
        while let first = rest.first {
            var taken = 0
            batch.append({ [family, set] in
                "\(isDeletion ? "deleting" : "adding") elements from"
                    + " \(RulesetPrinter(family).text(first, of: set)) on"
                    + " \(isDeletion ? "from" : "to") \(place)"
            }) { buffer, sequence in
                taken = write(rest, isDeletion: isDeletion, sequence, to: &buffer)
            }
            rest = rest.dropFirst(taken)
        }
    }

    /// Writes one message and returns how many elements it contains.
    private func write(
        _ elements: ArraySlice<Element>,
        isDeletion: Bool,
        _ sequence: UInt32,
        to buffer: inout MessageBuffer
    ) -> Int {
        buffer.beginMessage(
            type: Constant.messageType(isDeletion ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM),
            flags: isDeletion ? Constant.request : Constant.create,
            sequence: sequence
        )
        buffer.appendNetfilterHeader(family: family.netfilterFamily)
        buffer.attribute(UInt16(NFTA_SET_ELEM_LIST_TABLE.rawValue), table)
        buffer.attribute(UInt16(NFTA_SET_ELEM_LIST_SET.rawValue), set.id.name)
        let list = buffer.beginNest(UInt16(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue))
        var count = 0
        for element in elements {
            guard buffer.count - list < Self.listCapacity else { break }
            write(element, isDeletion: isDeletion, to: &buffer)
            count += 1
        }
        buffer.endNest(list)
        buffer.endMessage()
        return count
    }

    private func write(_ element: Element, isDeletion: Bool, to buffer: inout MessageBuffer) {
        let nest = buffer.beginNest(UInt16(NFTA_LIST_ELEM.rawValue))
        value(NFTA_SET_ELEM_KEY, element.key, &buffer)
        if !isDeletion {
            if let data = element.data { write(data: data, to: &buffer) }
            if let comment = element.comment { write(comment: comment, to: &buffer) }
            // Since Linux 6.12 this restarts the timeout of an element that exists already.
            if let timeout = set.timeout {
                buffer.attribute(
                    UInt16(NFTA_SET_ELEM_EXPIRATION.rawValue),
                    (UInt64(timeout) * 1000).bigEndian
                )
            }
        }
        buffer.endNest(nest)
        // A range takes two elements; a range up to the highest key has no end.
        guard set.isInterval, let next = element.keyEnd?.successor else { return }
        let end = buffer.beginNest(UInt16(NFTA_LIST_ELEM.rawValue))
        buffer.attribute(
            UInt16(NFTA_SET_ELEM_FLAGS.rawValue),
            bigEndian: UInt32(NFT_SET_ELEM_INTERVAL_END.rawValue)
        )
        value(NFTA_SET_ELEM_KEY, next, &buffer)
        buffer.endNest(end)
    }

    private func write(data: ElementBytes, to buffer: inout MessageBuffer) {
        var reader = ElementReader(data)
        guard set.data == .affinityTimeout, let seconds = reader.hostOrderWord() else {
            return value(NFTA_SET_ELEM_DATA, data, &buffer)
        }
        let nest = buffer.beginNest(UInt16(NFTA_SET_ELEM_DATA.rawValue))
        let verdict = buffer.beginNest(UInt16(NFTA_DATA_VERDICT.rawValue))
        buffer.attribute(
            UInt16(NFTA_VERDICT_CODE.rawValue),
            bigEndian: UInt32(bitPattern: KernelExpression.Verdict.goto.rawValue)
        )
        buffer.attribute(
            UInt16(NFTA_VERDICT_CHAIN.rawValue),
            Chain.Name.rememberFor(seconds: seconds).text
        )
        buffer.endNest(verdict)
        buffer.endNest(nest)
    }

    private func value(
        _ attribute: nft_set_elem_attributes,
        _ bytes: ElementBytes,
        _ buffer: inout MessageBuffer
    ) {
        let nest = buffer.beginNest(UInt16(attribute.rawValue))
        bytes.withBytes { buffer.attribute(UInt16(NFTA_DATA_VALUE.rawValue), bytes: $0) }
        buffer.endNest(nest)
    }

    /// Writes a comment as libnftnl's TLV `NFTNL_UDATA_SET_ELEM_COMMENT`, with a closing zero.
    private func write(comment: String, to buffer: inout MessageBuffer) {
        var comment = comment
        comment.withUTF8 { utf8 in
            withUnsafeTemporaryAllocation(byteCount: utf8.count + 3, alignment: 1) { bytes in
                bytes[0] = 0
                bytes[1] = UInt8(utf8.count + 1)
                bytes[utf8.count + 2] = 0
                UnsafeMutableRawBufferPointer(rebasing: bytes[2...]).copyBytes(from: utf8)
                buffer.attribute(
                    UInt16(NFTA_SET_ELEM_USERDATA.rawValue),
                    bytes: UnsafeRawBufferPointer(bytes)
                )
            }
        }
    }
}

extension ElementBytes {
    /// The next key; nil after the highest.
    var successor: ElementBytes? {
        var bytes = bytes
        guard let index = bytes.lastIndex(where: { $0 != 0xFF }) else { return nil }
        bytes[index] += 1
        for lower in bytes.indices where lower > index { bytes[lower] = 0 }
        return bytes.withUnsafeBytes { ElementBytes($0) }
    }

    /// The previous key; nil before zero.
    var predecessor: ElementBytes? {
        var bytes = bytes
        guard let index = bytes.lastIndex(where: { $0 != 0 }) else { return nil }
        bytes[index] -= 1
        for lower in bytes.indices where lower > index { bytes[lower] = 0xFF }
        return bytes.withUnsafeBytes { ElementBytes($0) }
    }
}
