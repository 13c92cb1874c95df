internal import CNeedleShim
internal import Glibc

/// A classic BPF program that decides which messages a socket receives (`linux/filter.h`).
///
/// The kernel runs it where a message is sent; a message that it drops costs the receiver nothing.
package struct SocketFilter: Sendable, Hashable {
    /// An instruction in the layout of `struct sock_filter`.
    package struct Instruction: Sendable, Hashable {
        package let code: UInt16
        /// The instructions to skip if a comparison holds.
        package let ifTrue: UInt8
        package let ifFalse: UInt8
        package var value: UInt32

        package init(code: UInt16, ifTrue: UInt8 = 0, ifFalse: UInt8 = 0, value: UInt32) {
            (self.code, self.ifTrue, self.ifFalse) = (code, ifTrue, ifFalse)
            self.value = value
        }
    }

    package let instructions: [Instruction]

    package init(instructions: [Instruction]) { self.instructions = instructions }

    /// The largest number of instructions that every kernel takes.
    ///
    /// The kernel's own limit is 4096 (`BPF_MAXINSNS`), but the translated program also counts
    /// against `net.core.optmem_max`, which was 20 KiB for a long time.
    package static let largestSize = 1000
}

extension NetlinkSocket {
    /// Drops the messages that the filter rejects; it replaces an earlier filter in one step.
    package func attach(_ filter: SocketFilter) throws(NetlinkError) {
        let result = filter.instructions.withUnsafeBytes {
            needle_attach_filter(descriptor, $0.baseAddress, UInt16(filter.instructions.count))
        }
        guard result == 0 else {
            throw NetlinkError("filtering the messages of a netlink socket", code: -result)
        }
    }

    /// The number of messages that were lost because the socket's buffer was full, modulo 2^32; nil
    /// if the kernel does not tell.
    package var lostMessages: UInt32? {
        // SK_MEMINFO_DROPS of linux/sock_diag.h; the kernel writes as many words as it knows.
        var words = [UInt32](repeating: 0, count: 9)
        var length = socklen_t(words.count * MemoryLayout<UInt32>.size)
        let code = getsockopt(descriptor, SOL_SOCKET, SO_MEMINFO, &words, &length)
        return code == 0 && Int(length) == words.count * 4 ? words[8] : nil
    }

    /// Sets the size of the receive buffer in bytes, as far as the kernel lets it grow or shrink.
    package func setReceiveBuffer(_ bytes: Int) {
        for option in [SO_RCVBUF, SO_RCVBUFFORCE] { setBufferSize(option, bytes) }
    }
}

/// Builds a filter; jumps go forward only, to labels.
struct FilterAssembler {
    struct Label: Hashable { fileprivate let number: Int }

    private var instructions: [SocketFilter.Instruction] = []
    private var positions: [Label: Int] = [:]
    private var jumps: [(at: Int, to: Label)] = []
    private var labels = 0

    /// Makes a label, which is placed later.
    mutating func label() -> Label {
        labels += 1
        return Label(number: labels)
    }

    mutating func place(_ label: Label) { positions[label] = instructions.count }

    /// Returns the program, with every jump filled in.
    func finished() -> SocketFilter {
        var instructions = instructions
        for (index, label) in jumps {
            guard let position = positions[label] else { preconditionFailure("no such place") }
            instructions[index].value = UInt32(position - index - 1)
        }
        return SocketFilter(instructions: instructions)
    }

    /// The operations in use; names and values are those of `linux/bpf_common.h`.
    private enum Operation {
        static let loadByte: UInt16 = 0x30  // BPF_LD | BPF_B | BPF_ABS
        static let loadShort: UInt16 = 0x28
        static let loadWord: UInt16 = 0x20
        static let loadByteIndexed: UInt16 = 0x50  // BPF_LD | BPF_B | BPF_IND
        static let loadShortIndexed: UInt16 = 0x48
        static let loadWordIndexed: UInt16 = 0x40
        static let loadConstant: UInt16 = 0x00  // BPF_LD | BPF_IMM
        static let loadMemory: UInt16 = 0x60  // BPF_LD | BPF_MEM
        static let loadIndexConstant: UInt16 = 0x01  // BPF_LDX | BPF_IMM
        static let loadIndexMemory: UInt16 = 0x61
        static let store: UInt16 = 0x02
        static let and: UInt16 = 0x54  // BPF_ALU | BPF_AND | BPF_K
        static let orIndex: UInt16 = 0x4C  // BPF_ALU | BPF_OR | BPF_X
        static let shiftLeft: UInt16 = 0x64
        static let shiftRight: UInt16 = 0x74
        static let jump: UInt16 = 0x05
        static let ifEqual: UInt16 = 0x15  // BPF_JMP | BPF_JEQ | BPF_K
        static let ifEqualIndex: UInt16 = 0x1D
        static let ifAtLeast: UInt16 = 0x35
        static let ifAnyBit: UInt16 = 0x45
        static let result: UInt16 = 0x06
        static let toIndex: UInt16 = 0x07  // BPF_MISC | BPF_TAX
    }

    private mutating func append(_ code: UInt16, _ value: UInt32 = 0) {
        instructions.append(.init(code: code, value: value))
    }

    // MARK: Loading

    mutating func loadByte(at offset: UInt32) { append(Operation.loadByte, offset) }
    mutating func loadShort(at offset: UInt32) { append(Operation.loadShort, offset) }
    mutating func loadConstant(_ value: UInt32) { append(Operation.loadConstant, value) }

    /// Loads a part of the payload of the attribute to which X points.
    mutating func loadPayloadByte() { append(Operation.loadByteIndexed, 4) }
    mutating func loadPayloadShort() { append(Operation.loadShortIndexed, 4) }
    mutating func loadPayloadWord(_ index: UInt32 = 0) {
        append(Operation.loadWordIndexed, 4 + 4 * index)
    }

    mutating func loadMemory(_ slot: UInt32) { append(Operation.loadMemory, slot) }
    mutating func loadIndexMemory(_ slot: UInt32) { append(Operation.loadIndexMemory, slot) }
    mutating func store(_ slot: UInt32) { append(Operation.store, slot) }
    mutating func moveToIndex() { append(Operation.toIndex) }

    /// Makes A the offset of an attribute among those from offset A on, and leaves X at its type;
    /// without one, goes to the label.
    ///
    /// These loads are extensions of the kernel (`SKF_AD_NLATTR` and `SKF_AD_NLATTR_NEST` of
    /// `linux/filter.h`).
    mutating func findAttribute(_ type: UInt32, orGoTo label: Label) {
        find(type, Self.attribute, label)
    }

    /// The same among the attributes nested in the one at offset A.
    mutating func findNested(_ type: UInt32, orGoTo label: Label) {
        find(type, Self.nestedAttribute, label)
    }

    private static let extensions = UInt32(bitPattern: -0x1000)
    private static let attribute = extensions &+ 12
    private static let nestedAttribute = extensions &+ 16

    private mutating func find(_ type: UInt32, _ load: UInt32, _ label: Label) {
        append(Operation.loadIndexConstant, type)
        append(Operation.loadWord, load)
        jump(ifEqual: 0, to: label)
    }

    // MARK: Calculating

    mutating func and(_ mask: UInt32) { append(Operation.and, mask) }
    mutating func orIndex() { append(Operation.orIndex) }
    mutating func shiftLeft(_ bits: UInt32) { append(Operation.shiftLeft, bits) }
    mutating func shiftRight(_ bits: UInt32) { append(Operation.shiftRight, bits) }

    // MARK: Jumping

    mutating func jump(to label: Label) {
        jumps.append((instructions.count, label))
        append(Operation.jump)
    }

    mutating func jump(ifEqual value: UInt32, to label: Label) {
        jump(Operation.ifEqual, value, holds: true, label)
    }

    mutating func jump(unlessEqual value: UInt32, to label: Label) {
        jump(Operation.ifEqual, value, holds: false, label)
    }

    mutating func jump(unlessEqualToIndexGoTo label: Label) {
        jump(Operation.ifEqualIndex, 0, holds: false, label)
    }

    mutating func jump(ifAtLeast value: UInt32, to label: Label) {
        jump(Operation.ifAtLeast, value, holds: true, label)
    }

    mutating func jump(ifAnyBitOf mask: UInt32, to label: Label) {
        jump(Operation.ifAnyBit, mask, holds: true, label)
    }

    /// Appends a comparison and a jump; the comparison itself reaches 255 instructions only.
    private mutating func jump(_ code: UInt16, _ value: UInt32, holds: Bool, _ label: Label) {
        instructions.append(
            .init(code: code, ifTrue: holds ? 0 : 1, ifFalse: holds ? 1 : 0, value: value)
        )
        jump(to: label)
    }

    /// What to do if A has a value; the body ends with a jump.
    typealias Case = (value: UInt32, body: (inout FilterAssembler) -> Void)

    /// Goes on with the body whose value A has, or to the label.
    ///
    /// The cases are sorted. X and A stay as they are up to the body.
    mutating func select(
        _ cases: ArraySlice<Case>,
        else label: Label
    ) {
        guard cases.count > 3 else {
            for (value, body) in cases {
                let next = self.label()
                jump(unlessEqual: value, to: next)
                body(&self)
                place(next)
            }
            return jump(to: label)
        }
        let middle = cases.index(cases.startIndex, offsetBy: cases.count / 2)
        let upper = self.label()
        jump(ifAtLeast: cases[middle].value, to: upper)
        select(cases[..<middle], else: label)
        place(upper)
        select(cases[middle...], else: label)
    }

    mutating func accept() { append(Operation.result, .max) }
    mutating func reject() { append(Operation.result, 0) }
}
