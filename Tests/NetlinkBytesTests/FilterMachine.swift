import Netlink

/// Runs a filter as `Documentation/networking/filter.rst` describes the machine, independently of
/// how the program was made.
struct FilterMachine {
    private let packet: [UInt8]
    private var accumulator: UInt32 = 0
    private var index: UInt32 = 0
    private var memory = [UInt32](repeating: 0, count: 16)

    init(_ packet: [UInt8]) { self.packet = packet }

    /// Returns whether the packet passes; nil if the kernel would not take the program.
    static func passes(_ packet: [UInt8], _ filter: SocketFilter) -> Bool? {
        var machine = FilterMachine(packet)
        return machine.run(filter.instructions)
    }

    private mutating func run(_ program: [SocketFilter.Instruction]) -> Bool? {
        var counter = 0
        while program.indices.contains(counter) {
            let step = program[counter]
            counter += 1
            switch step.code & 7 {
            case 0:
                // A load outside of the packet ends the program with 0.
                guard let value = load(step) else { return false }
                accumulator = value
            case 1: index = step.code & 0xE0 == 0x60 ? memory[Int(step.value)] : step.value
            case 2: memory[Int(step.value)] = accumulator
            case 4: calculate(step)
            case 5: counter += skip(step)
            case 6: return step.value != 0
            case 7: index = accumulator
            default: return nil
            }
        }
        return nil
    }

    private func load(_ step: SocketFilter.Instruction) -> UInt32? {
        switch step.code & 0xE0 {
        case 0x00: return step.value
        case 0x60: return memory[Int(step.value)]
        default: break
        }
        // SKF_AD_OFF + SKF_AD_NLATTR, SKF_AD_NLATTR_NEST
        if step.value == 0xFFFF_F00C { return find(Int(accumulator), packet.count) }
        if step.value == 0xFFFF_F010 {
            guard let length = short(Int(accumulator)), Int(accumulator) + length <= packet.count
            else { return 0 }
            return find(Int(accumulator) + 4, Int(accumulator) + length)
        }
        let offset = Int(step.value) + (step.code & 0xE0 == 0x40 ? Int(index) : 0)
        let size = [0x00: 4, 0x08: 2, 0x10: 1][step.code & 0x18] ?? 0
        guard offset + size <= packet.count else { return nil }
        return packet[offset..<offset + size].reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// A number of 16 bits in host order.
    private func short(_ offset: Int) -> Int? {
        guard offset + 2 <= packet.count else { return nil }
        return Int(packet[offset]) | Int(packet[offset + 1]) << 8
    }

    /// Searches attributes as `nla_find` of `lib/nlattr.c` does.
    private func find(_ start: Int, _ end: Int) -> UInt32 {
        var offset = start
        while offset + 4 <= end, let length = short(offset), let type = short(offset + 2),
            length >= 4, offset + length <= end
        {
            if type & 0x3FFF == Int(index) { return UInt32(offset) }
            offset += (length + 3) & ~3
        }
        return 0
    }

    private mutating func calculate(_ step: SocketFilter.Instruction) {
        let operand = step.code & 8 == 0 ? step.value : index
        switch step.code & 0xF0 {
        case 0x40: accumulator |= operand
        case 0x50: accumulator &= operand
        case 0x60: accumulator <<= operand
        case 0x70: accumulator >>= operand
        default: break
        }
    }

    private func skip(_ step: SocketFilter.Instruction) -> Int {
        let operand = step.code & 8 == 0 ? step.value : index
        let holds =
            switch step.code & 0xF0 {
            case 0x10: accumulator == operand
            case 0x30: accumulator >= operand
            case 0x40: accumulator & operand != 0
            default: true
            }
        guard step.code & 0xF0 != 0 else { return Int(operand) }
        return Int(holds ? step.ifTrue : step.ifFalse)
    }
}
