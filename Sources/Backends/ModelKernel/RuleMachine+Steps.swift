internal import NFTables
internal import NetworkTypes

extension RuleMachine {
    /// One expression.
    func step(_ expression: KernelExpression, _ index: Int, _ frame: inout Frame) -> Effect {
        switch expression {
        case .payload, .meta, .connection, .random, .counting, .route, .immediate:
            load(expression, &frame)
        case .hash, .mask, .shift, .byteOrder: compute(expression, &frame)
        case .compare(let comparison, let register, let bytes):
            match(index, register, bytes.count, &frame) { comparison.holds($0, bytes) }
        case .range(let negated, let register, let low, let high):
            // net/netfilter/nft_range.c: both bounds are inside.
            match(index, register, low.count, &frame) { bytes in
                let isOutside =
                    bytes.lexicographicallyPrecedes(low) || high.lexicographicallyPrecedes(bytes)
                return isOutside == negated
            }
        case .lookup(let set, let register, let destination, let negated):
            lookUp(set, register, destination, negated, index, &frame)
        case .update(let update): self.update(update, &frame)
        case .unknownMatch(let text): doubt(frame, index, text)
        case .counter, .log: .proceed
        default: act(expression, &frame)
        }
    }

    // MARK: Registers

    private func load(_ expression: KernelExpression, _ frame: inout Frame) -> Effect {
        switch expression {
        case .payload(let base, let offset, let length, let register):
            let reading = frame.traveller.read(base, Int(offset), Int(length))
            return store(reading, Int(length), register, &frame)
        case .meta(.inputIndex, let register):
            return store(index(frame.traveller.packet.inputInterface), 4, register, &frame)
        case .meta(.outputIndex, let register):
            return store(index(frame.traveller.packet.outputInterface), 4, register, &frame)
        case .meta(let key, let register):
            return store(frame.traveller.read(key), 4, register, &frame)
        case .connection(let key, let direction, let register):
            return store(frame.traveller.read(key, direction), 4, register, &frame)
        case .random(let modulus, let offset, let register),
            .counting(let modulus, let offset, let register):
            // The turns of a counter that everybody's packets move are as good as chance.
            guard modulus > 0, modulus <= Self.mostChoices else {
                return store(.unknown("it draws from \(modulus) numbers"), 4, register, &frame)
            }
            frame.registers.write(
                oneOf: (0..<modulus).map { offset &+ $0 },
                to: register
            )
        case .route(let result, let flags, let register):
            return store(route(result, flags, frame.traveller.packet), 4, register, &frame)
        case .immediate(let bytes, let register):
            return store(.known(bytes), bytes.count, register, &frame)
        default: preconditionFailure("\(expression) loads nothing")
        }
        return .proceed
    }

    private static let mostChoices: UInt32 = 1 << 16

    private func store(
        _ reading: Reading,
        _ length: Int,
        _ register: UInt32,
        _ frame: inout Frame
    ) -> Effect {
        switch reading {
        case .known(let bytes):
            guard Registers.holds(register, bytes.count) else {
                return undecided(&frame, "register \(register) does not hold \(bytes.count) bytes")
            }
            frame.registers.write(bytes, to: register)
        case .unknown(let reason):
            guard Registers.holds(register, length) else {
                return undecided(&frame, "register \(register) does not hold \(length) bytes")
            }
            frame.registers.writeUnknown(reason, length, to: register)
        case .absent: return .stop
        }
        return .proceed
    }

    /// The number of an interface; 0 if there is none.
    private func index(_ interface: String?) -> Reading {
        guard let interface else { return .word(0, "") }
        return .word(evaluator.routing.interfaceIndex(interface), "the interface's number")
    }

    /// What `fib` says (`net/ipv4/netfilter/nft_fib_ipv4.c`).
    private func route(
        _ result: KernelExpression.RouteResult,
        _ flags: UInt32,
        _ packet: Packet
    ) -> Reading {
        // NFTA_FIB_F_SADDR and NFTA_FIB_F_DADDR
        let (ofSource, ofDestination): (UInt32, UInt32) = (1, 2)
        guard result == .addressType, flags == ofSource || flags == ofDestination,
            !(flags == ofSource && packet.isSourceUnknown)
        else { return .unknown("fib looks up more than the type of an address") }
        let address = flags == ofSource ? packet.source : packet.destination
        guard let type = evaluator.routing.addressType(address) else {
            let which = flags == ofSource ? "source" : "destination"
            return .unknown("the type of its \(which) address is not known")
        }
        return .known(withUnsafeBytes(of: type.rawValue, Array.init))
    }

    private func compute(_ expression: KernelExpression, _ frame: inout Frame) -> Effect {
        switch expression {
        case .hash(let hash):
            return transform(hash.source, Int(hash.length), hash.register, 4, &frame) { bytes in
                let scaled = ClientBucket.scaledHash(
                    bytes,
                    seed: hash.seed,
                    modulus: hash.modulus
                )
                return withUnsafeBytes(of: scaled &+ hash.offset, Array.init)
            }
        case .mask(let source, let destination, let mask, let xor):
            let length = mask.count
            return transform(source, length, destination, length, &frame) { bytes in
                zip(bytes, zip(mask, xor)).map { $0 & $1.0 ^ $1.1 }
            }
        case .shift(let source, let destination, let length, let isLeft, let count):
            let length = Int(length)
            return transform(source, length, destination, length, &frame) {
                shifted($0, isLeft: isLeft, by: count)
            }
        case .byteOrder(let source, let destination, let length, let size, _):
            let length = Int(length)
            return transform(source, length, destination, length, &frame) { bytes in
                stride(from: 0, to: bytes.count, by: max(1, Int(size))).flatMap {
                    bytes[$0..<min(bytes.count, $0 + Int(size))].reversed()
                }
            }
        default: preconditionFailure("\(expression) computes nothing")
        }
    }

    private func transform(
        _ source: UInt32,
        _ length: Int,
        _ destination: UInt32,
        _ resultLength: Int,
        _ frame: inout Frame,
        _ body: ([UInt8]) -> [UInt8]
    ) -> Effect {
        guard Registers.holds(source, length), Registers.holds(destination, resultLength) else {
            return undecided(&frame, "a register does not hold \(length) bytes")
        }
        if let reason = frame.registers.reason(source, length) {
            return store(.unknown(reason), resultLength, destination, &frame)
        }
        guard frame.registers.choice(source, length) != nil else {
            let bytes = body(frame.registers.read(source, length))
            return store(.known(bytes), bytes.count, destination, &frame)
        }
        let cases = cases(frame, source, length, body)
        return .fork(
            cases.map { branch, bytes in
                var branch = branch
                branch.registers.write(bytes, to: destination)
                return (branch, .proceed)
            }
        )
    }

    // MARK: Matches

    private func match(
        _ index: Int,
        _ register: UInt32,
        _ length: Int,
        _ frame: inout Frame,
        _ holds: ([UInt8]) -> Bool
    ) -> Effect {
        guard Registers.holds(register, length) else {
            return undecided(&frame, "register \(register) does not hold \(length) bytes")
        }
        if let reason = frame.registers.reason(register, length) {
            return doubt(frame, index, reason)
        }
        guard frame.registers.choice(register, length) != nil else {
            return holds(frame.registers.read(register, length)) ? .proceed : .stop
        }
        return .fork(
            cases(frame, register, length, holds).map { ($0.frame, $0.answer ? .proceed : .stop) }
        )
    }

    /// A set or a map (`net/netfilter/nft_lookup.c: nft_lookup_eval`).
    private func lookUp(
        _ name: String,
        _ register: UInt32,
        _ destination: UInt32?,
        _ negated: Bool,
        _ index: Int,
        _ frame: inout Frame
    ) -> Effect {
        guard let set = evaluator.ruleset.tables[place.table]?.sets[name],
            Registers.holds(register, Int(set.shape.keyLength))
        else { return undecided(&frame, "nothing is known of set \(name)") }
        let length = Int(set.shape.keyLength)
        let finding = { (finding: Finding, frame: inout Frame) -> Effect in
            switch finding {
            case .missing: return negated ? .proceed : .stop
            case .found(let value):
                return negated ? .stop : self.take(value, destination, &frame)
            case .unknown(let reason):
                guard let destination else { return self.doubt(frame, index, reason) }
                return self.doubt(frame, index, reason, destination, set)
            }
        }
        if let reason = frame.registers.reason(register, length) {
            return finding(.unknown(reason), &frame)
        }
        let writes = frame.traveller.writes
        let answers = cases(frame, register, length) { find($0, name, writes) }
        if answers.count == 1 {
            frame = answers[0].frame
            return finding(answers[0].answer, &frame)
        }
        return .fork(
            answers.map { branch, answer in
                var branch = branch
                let effect = finding(answer, &branch)
                return (branch, effect)
            }
        )
    }

    func find(_ key: [UInt8], _ set: String, _ writes: [SetWrite]) -> Finding {
        let own = writes.last { $0.key == key && $0.set == set && $0.table == place.table }
        return own.map { .found($0.value) }
            ?? evaluator.elements.find(key, in: set, of: place.table)
    }

    private func take(
        _ value: Ruleset.Value,
        _ destination: UInt32?,
        _ frame: inout Frame
    ) -> Effect {
        guard let destination else { return .proceed }
        switch value {
        case .verdict(.continue, _): return .proceed
        case .verdict(let verdict, let chain): return .verdict(verdict, chain)
        case .data(let bytes): return store(.known(bytes), bytes.count, destination, &frame)
        case .none: return undecided(&frame, "an element of a map has no data")
        }
    }

    /// A map that may have the key leads to something unknown.
    private func doubt(
        _ frame: Frame,
        _ index: Int,
        _ reason: String,
        _ destination: UInt32,
        _ set: Ruleset.ElementSet
    ) -> Effect {
        var (found, missed) = (frame, frame)
        found.traveller = frame.traveller.doubting(reference, reason, holds: true)
        missed.traveller = frame.traveller.doubting(reference, reason, holds: false)
        guard !set.isVerdictMap else {
            return .fork([(found, .end(.undecided)), (missed, .stop)])
        }
        let effect = store(.unknown(reason), Int(set.shape.dataLength), destination, &found)
        return .fork([(found, effect), (missed, .stop)])
    }
}

extension KernelExpression.Comparison {
    /// The kernel compares bytes as `memcmp` does (`net/netfilter/nft_cmp.c: nft_cmp_eval`).
    fileprivate func holds(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        switch self {
        case .equal: left == right
        case .notEqual: left != right
        case .less: left.lexicographicallyPrecedes(right)
        case .lessOrEqual: !right.lexicographicallyPrecedes(left)
        case .greater: right.lexicographicallyPrecedes(left)
        case .greaterOrEqual: !left.lexicographicallyPrecedes(right)
        }
    }
}

/// Shifts words in the machine's order, the first of which is the highest
/// (`net/netfilter/nft_bitwise.c: nft_bitwise_eval_lshift`).
private func shifted(_ bytes: [UInt8], isLeft: Bool, by count: UInt32) -> [UInt8] {
    var words = stride(from: 0, to: bytes.count, by: 4).map { start in
        bytes[start..<min(start + 4, bytes.count)].reversed().reduce(UInt32(0)) {
            $0 << 8 | UInt32($1)
        }
    }
    var carry: UInt32 = 0
    for index in isLeft ? Array(words.indices.reversed()) : Array(words.indices) {
        let word = words[index]
        words[index] = (isLeft ? word << count : word >> count) | carry
        carry = isLeft ? word >> (32 - count) : word << (32 - count)
    }
    let shifted = words.flatMap { word in withUnsafeBytes(of: word, Array.init) }
    return Array(shifted.prefix(bytes.count))
}
