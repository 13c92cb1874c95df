import ModelKernel
import NFTables
import NetworkTypes

/// Runs rules on one packet, expression by expression.
struct ConcreteMachine {
    enum Verdict { case goOn, leave, accept, drop, reject }

    private let kernel: ConcreteKernel
    private let table: Ruleset.TableID
    private(set) var packet: ConcretePacket
    private(set) var entry: ConcreteEntry?
    private(set) var isUntracked: Bool
    private(set) var tape: ConcreteKernel.Tape
    private var registers = [UInt8](repeating: 0, count: 64)

    init(
        _ kernel: ConcreteKernel,
        _ table: Ruleset.TableID,
        _ packet: ConcretePacket,
        _ entry: ConcreteEntry?,
        _ isUntracked: Bool,
        _ tape: ConcreteKernel.Tape
    ) {
        (self.kernel, self.table, self.packet) = (kernel, table, packet)
        (self.entry, self.isUntracked, self.tape) = (entry, isUntracked, tape)
    }

    mutating func run(_ chain: String) -> Verdict {
        for rule in kernel.ruleset.tables[table]?.chains[chain]?.rules ?? [] {
            switch execute(rule) {
            case .goOn: continue
            case .leave: return .goOn
            case let verdict: return verdict
            }
        }
        return .goOn
    }

    private mutating func execute(_ rule: Ruleset.Rule) -> Verdict {
        for expression in rule.expressions {
            switch step(expression) {
            case .next: continue
            case .mismatch: return .goOn
            case .verdict(let verdict, let chain): return obey(verdict, chain)
            case .end(let verdict): return verdict
            }
        }
        return .goOn
    }

    private mutating func obey(
        _ verdict: KernelExpression.Verdict,
        _ chain: String?
    ) -> Verdict {
        switch verdict {
        case .accept: return .accept
        case .drop: return .drop
        case .return: return .leave
        case .continue, .break: return .goOn
        case .jump: return run(chain ?? "")
        case .goto:
            // Who comes back from it does not come back here.
            let verdict = run(chain ?? "")
            if case .goOn = verdict { return .leave }
            return verdict
        case .queue: preconditionFailure("nobody queues here")
        }
    }

    // MARK: Expressions

    private enum Step {
        case next, mismatch
        case verdict(KernelExpression.Verdict, String?)
        case end(Verdict)
    }

    private static func start(_ register: UInt32) -> Int {
        register < 8 ? Int(register - 1) * 16 : Int(register - 8) * 4
    }

    private func read(_ register: UInt32, _ count: Int) -> [UInt8] {
        Array(registers[Self.start(register)...].prefix(count))
    }

    private mutating func write(_ bytes: [UInt8]?, _ register: UInt32) -> Step {
        guard let bytes else { return .mismatch }
        let start = Self.start(register)
        for index in 0..<((bytes.count + 3) / 4 * 4) {
            registers[start + index] = index < bytes.count ? bytes[index] : 0
        }
        return .next
    }

    private mutating func step(_ expression: KernelExpression) -> Step {
        switch expression {
        case .payload(let base, let offset, let length, let register):
            let header = base == .network ? networkHeader : transportHeader
            return write(Array(header[Int(offset)..<Int(offset + length)]), register)
        case .meta(let key, let register): return write(meta(key), register)
        case .connection(let key, let direction, let register):
            return write(connection(key, direction), register)
        case .random(let modulus, let offset, let register):
            return write(Self.bytes(offset &+ tape.draw(modulus)), register)
        case .hash(let hash):
            let bytes = read(hash.source, Int(hash.length))
            let value = ClientBucket.scaledHash(bytes, seed: hash.seed, modulus: hash.modulus)
            return write(Self.bytes(value &+ hash.offset), hash.register)
        case .route(_, let flags, let register):
            let address = flags == 1 ? packet.source : packet.destination
            return write(
                kernel.routing.addressType(address).map { Self.bytes($0.rawValue) },
                register
            )
        case .mask(let source, let destination, let mask, let xor):
            let bytes = read(source, mask.count)
            return write(bytes.indices.map { bytes[$0] & mask[$0] ^ xor[$0] }, destination)
        case .immediate(let bytes, let register): return write(bytes, register)
        case .compare(let comparison, let register, let bytes):
            let found = read(register, bytes.count)
            return (found == bytes) == (comparison == .equal) ? .next : .mismatch
        case .lookup(let set, let register, let destination, let negated):
            return lookUp(set, register, destination, negated)
        case .unknownMatch: return kernel.unknownsHold ? .next : .mismatch
        case .update, .counter, .log: return .next
        default: return act(expression)
        }
    }

    private mutating func act(_ expression: KernelExpression) -> Step {
        switch expression {
        case .setMeta(.mark, let register):
            packet.mark = read(register, 4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
            return .next
        case .noTrack:
            if entry == nil { isUntracked = true }
            return .next
        case .reject(let type, _):
            let isReset = type == .tcpReset && packet.transport != TransportProtocol.tcp.rawValue
            return .end(isReset ? .drop : .reject)
        case .translate(let translation):
            let count = packet.family.byteCount
            if let register = translation.addressMin {
                let address = IPAddress(networkOrder: read(register, count))
                entry?.reply.source = address ?? packet.destination
            }
            if let register = translation.ports.min {
                let port = read(register, 2).reduce(UInt16(0)) { $0 << 8 | UInt16($1) }
                entry?.reply.sourcePort = port
            }
            if let entry,
                entry.reply.source != entry.original.destination
                    || entry.reply.sourcePort != entry.original.destinationPort
            {
                self.entry?.status |= ConcreteEntry.destinationNAT
            }
            entry?.status |= ConcreteEntry.destinationDone
            return .end(.accept)
        case .masquerade:
            let address = kernel.routing.masqueradeAddress(packet.routed) ?? packet.source
            entry?.reply.destination = address
            entry?.status |= ConcreteEntry.sourceNAT | ConcreteEntry.sourceDone
            return .end(.accept)
        case .verdict(let verdict, let chain): return .verdict(verdict, chain)
        default: preconditionFailure("\(expression) is not used here")
        }
    }

    private mutating func lookUp(
        _ name: String,
        _ register: UInt32,
        _ destination: UInt32?,
        _ negated: Bool
    ) -> Step {
        guard let set = kernel.ruleset.tables[table]?.sets[name] else { return .mismatch }
        let key = read(register, Int(set.shape.keyLength))
        let found =
            set.isInterval
            ? set.elements.first { start, element in
                !key.lexicographicallyPrecedes(start)
                    && !(element.keyEnd ?? start).lexicographicallyPrecedes(key)
            }?.value : set.elements[key]
        guard let element = found, !negated else {
            return (found == nil) == negated ? .next : .mismatch
        }
        guard let destination else { return .next }
        switch element.value {
        case .verdict(let verdict, let chain): return .verdict(verdict, chain)
        case .data(let bytes): return write(bytes, destination)
        case .none: return .mismatch
        }
    }

    // MARK: What expressions read

    private static func bytes(_ word: UInt32) -> [UInt8] {
        withUnsafeBytes(of: word.littleEndian, Array.init)
    }

    private static func bytes(port: UInt16) -> [UInt8] { [UInt8(port >> 8), UInt8(port & 0xFF)] }

    private var networkHeader: [UInt8] {
        let start: [UInt8] =
            packet.family == .ipv4
            ? [0x45] + [UInt8](repeating: 0, count: 8) + [packet.transport, 0, 0]
            : [UInt8](repeating: 0, count: 6) + [packet.transport, 0]
        return start + packet.source.networkOrderBytes + packet.destination.networkOrderBytes
    }

    private var transportHeader: [UInt8] {
        Self.bytes(port: packet.sourcePort) + Self.bytes(port: packet.destinationPort)
    }

    private func meta(_ key: KernelExpression.MetaKey) -> [UInt8]? {
        let name = { (interface: String?) in
            let bytes = Array((interface ?? "").utf8)
            return bytes + [UInt8](repeating: 0, count: 16 - bytes.count)
        }
        switch key {
        case .mark: return Self.bytes(packet.mark)
        case .inputName: return name(packet.input)
        case .outputName: return name(packet.output)
        case .inputIndex:
            return Self.bytes(packet.input.flatMap { kernel.routing.interfaceIndex($0) } ?? 0)
        case .outputIndex:
            return Self.bytes(packet.output.flatMap { kernel.routing.interfaceIndex($0) } ?? 0)
        case .family: return [packet.family.netfilterFamily]
        case .transport: return [packet.transport]
        default: preconditionFailure("meta key \(key.rawValue) is not used here")
        }
    }

    private func connection(
        _ key: KernelExpression.ConnectionKey,
        _ direction: KernelExpression.Direction?
    ) -> [UInt8]? {
        guard let entry else {
            return key == .state ? Self.bytes(isUntracked ? 1 << 6 : 1) : nil
        }
        let isReply = direction.map { $0 == .reply } ?? entry.isReply
        let tuple = isReply ? entry.reply : entry.original
        switch key {
        case .state: return Self.bytes(entry.isEstablished ? 2 : 8)
        case .direction: return [entry.isReply ? 1 : 0]
        case .status: return Self.bytes(entry.status)
        case .transport: return [packet.transport]
        case .source, .sourceIPv4, .sourceIPv6: return tuple.source.networkOrderBytes
        case .destination, .destinationIPv4, .destinationIPv6:
            return tuple.destination.networkOrderBytes
        case .sourcePort: return Self.bytes(port: tuple.sourcePort)
        case .destinationPort: return Self.bytes(port: tuple.destinationPort)
        default: preconditionFailure("ct key \(key.rawValue) is not used here")
        }
    }
}
