import ModelKernel
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport

/// What is done to a node behind needletail's back, at random, near the way of one packet.
package struct RandomTampering {
    package var random: Seeded
    private let packet: Packet
    private let endpoints: [Endpoint]
    private let family: IPFamily
    /// What was done, for whoever must understand a failure.
    package private(set) var deeds: [String] = []
    /// Addresses to which there is no route any longer.
    package private(set) var lost: Set<IPAddress> = []

    package init(seed: UInt64, _ packet: Packet, _ endpoints: [Endpoint]) {
        random = Seeded(seed)
        (self.packet, self.endpoints) = (packet, endpoints)
        family = packet.family
    }

    private var own: Ruleset.TableID { Ruleset.TableID(family) }

    private mutating func pick<Value>(_ values: [Value]) -> Value? {
        values.randomElement(using: &random)
    }

    private mutating func chance(_ oneIn: Int) -> Bool {
        Int.random(in: 0..<oneIn, using: &random) == 0
    }

    /// Does one thing, or none if the kernel refuses it.
    package mutating func harm(_ kernel: inout MemoryKernel) {
        let before = deeds.count
        do {
            switch Int.random(in: 0..<20, using: &random) {
            case 0...5: try harmRules(&kernel)
            case 6...10: try harmElements(&kernel)
            case 11: try harmTable(&kernel)
            case 12:
                guard let endpoint = pick(endpoints)?.address else { return }
                deeds.append("no route to \(endpoint)")
                lost.insert(endpoint)
            default: try addForeign(&kernel)
            }
        } catch { deeds = Array(deeds.prefix(before)) }
    }

    // MARK: Our own table

    private mutating func harmRules(_ kernel: inout MemoryKernel) throws {
        let table = kernel.ruleset.tables[own]
        guard let chain = pick((table?.chains ?? [:]).keys.sorted()) else { return }
        let rules = table?.chains[chain]?.rules ?? []
        switch Int.random(in: 0..<6, using: &random) {
        case 0:
            deeds.append("flush \(chain)")
            try kernel.flushChain(chain, of: own)
        case 1, 2:
            guard let index = pick(Array(rules.indices)) else { return }
            deeds.append("delete rule \(index) of \(chain)")
            try kernel.deleteRule(rules[index].handle, from: chain, of: own)
        case 3:
            let hook = table?.chains[chain]?.base?.hook
            let rule = rule(hook, isTranslating: false)
            deeds.append("\(chain) begins with \(rule)")
            try kernel.tamper(with: own) {
                $0.chains[chain]?.rules.insert(Ruleset.Rule(handle: 1 << 40, rule), at: 0)
            }
        case 4:
            guard rules.count > 1 else { return }
            let shuffled = rules.shuffled(using: &random)
            deeds.append("other order of \(chain)")
            try kernel.tamper(with: own) { $0.chains[chain]?.rules = shuffled }
        default:
            guard table?.chains[chain]?.base != nil else { return }
            let (priority, drops) = (pick(Self.priorities) ?? 0, chance(3))
            deeds.append("\(chain): priority \(priority), drops \(drops)")
            try kernel.tamper(with: own) {
                $0.chains[chain]?.base?.priority = priority
                $0.chains[chain]?.base?.isDropping = drops
            }
        }
    }

    private static let priorities: [Int32] = [
        -300, -250, -200, -199, -150, -111, -110, -105, -101, -100, -99, -50, 0, 1, 50, 99, 100,
        101,
        150, 300,
    ]

    private mutating func harmElements(_ kernel: inout MemoryKernel) throws {
        let sets = kernel.ruleset.tables[own]?.sets ?? [:]
        let frontend = TransportProtocol(rawValue: packet.transport).map {
            ElementBytes(FrontendKey(packet.destination, $0, packet.destinationPort)).bytes
        }
        guard let frontend, let name = pick(sets.keys.sorted()), let set = sets[name] else {
            return
        }
        // Elements of others matter less.
        let keys = set.elements.keys.filter { chance(8) || $0.starts(with: frontend.prefix(4)) }
            .sorted { $0.lexicographicallyPrecedes($1) }
        if set.shape.dataLength == 0, !set.isVerdictMap, !set.isInterval,
            Int(set.shape.keyLength) == frontend.count, set.elements[frontend] == nil, chance(2)
        {
            deeds.append("\(name) has the frontend")
            return try kernel.setElement(frontend, Ruleset.Element(), in: name, of: own)
        }
        guard let key = pick(keys), var element = set.elements[key] else { return }
        guard case .data(let data) = element.value, !chance(2) else {
            deeds.append("delete \(key) of \(name)")
            return try kernel.setElement(key, nil, in: name, of: own)
        }
        let others = set.elements.values.map(\.value).sorted { "\($0)" < "\($1)" }
        var bytes = data
        bytes[3] ^= UInt8.random(in: 1...7, using: &random)
        element.value = chance(2) ? pick(others) ?? .data(bytes) : .data(bytes)
        deeds.append("\(key) of \(name) leads to \(element.value)")
        try kernel.setElement(key, element, in: name, of: own)
    }

    private mutating func harmTable(_ kernel: inout MemoryKernel) throws {
        if chance(2) {
            deeds.append("no table")
            return try kernel.deleteTable(own)
        }
        deeds.append("a dormant table")
        try kernel.tamper(with: own) { $0.isDormant = true }
    }

    // MARK: Other programs

    private mutating func addForeign(_ kernel: inout MemoryKernel) throws {
        let families: [Ruleset.Family] = [.inet, Ruleset.Family(family), Ruleset.Family(family)]
        let other: Ruleset.Family = family == .ipv4 ? .ip6 : .ip
        let table = Ruleset.TableID(
            chance(10) ? other : pick(families) ?? .inet,
            "foreign\(deeds.count)"
        )
        let hooks: [BaseChain.Hook] = [.prerouting, .input, .forward, .output, .postrouting]
        let hook = pick(hooks) ?? .forward
        let isTranslating = hook != .forward && chance(4)
        let priority = pick(Self.priorities) ?? 0
        var base = Ruleset.Base(isTranslating ? .nat : .filter, hook, priority)
        base.isDropping = chance(5)
        try kernel.addTable(table)
        try kernel.addChain("x", base: base, to: table)
        var text = "\(table.family) \(hook) \(base.type) \(priority) drops \(base.isDropping)"
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let rule = rule(hook, isTranslating: isTranslating)
            text += " \(rule)"
            try kernel.addRule(rule, to: "x", of: table)
        }
        if chance(12) {
            try kernel.tamper(with: table) { $0.isDormant = true }
            text += " dormant"
        }
        deeds.append(text)
    }

    private mutating func rule(
        _ hook: BaseChain.Hook?,
        isTranslating: Bool
    ) -> [KernelExpression] {
        var rule: [KernelExpression] = []
        for _ in 0..<Int.random(in: 0...2, using: &random) { rule += match() }
        if chance(8) { rule.append(.unknownMatch("xt match x")) }
        if chance(2) { rule.append(.counter) }
        if isTranslating, !chance(3) { return rule + translation(hook) }
        let dropping: [KernelExpression] = [.verdict(.drop, nil)]
        let canReject = hook != .prerouting && hook != .postrouting
        let canLeaveUntracked = hook == .prerouting || hook == .output
        let mark = UInt8.random(in: 0...2, using: &random)
        let marking: [KernelExpression] = [
            .immediate([mark, 0, 0, 0], register: 1), .setMeta(.mark, register: 1),
        ]
        let actions: [[KernelExpression]] = [
            dropping, dropping, [.verdict(.accept, nil)], [.verdict(.return, nil)], [], [.log("x")],
            canReject ? [.reject(.tcpReset, code: 0)] : dropping,
            canLeaveUntracked ? [.noTrack] : dropping, marking,
        ]
        return rule + (pick(actions) ?? [])
    }

    private mutating func translation(_ hook: BaseChain.Hook?) -> [KernelExpression] {
        guard hook == .prerouting || hook == .output else {
            return hook == .postrouting ? [.masquerade(.init())] : []
        }
        let target = pick(endpoints)
        let address = target?.address ?? packet.source
        let port = target?.port ?? 8080
        typealias Choice = KernelExpression.PortChoice
        return [
            .immediate(address.networkOrderBytes, register: 1),
            .immediate([UInt8(port >> 8), UInt8(port & 0xFF)], register: 2),
            .translate(
                .init(
                    .destination,
                    family: UInt32(family.netfilterFamily),
                    address: 1,
                    ports: Choice(2, flags: Choice.addressGiven | Choice.portGiven)
                )
            ),
        ]
    }

    private mutating func match() -> [KernelExpression] {
        let isIPv4 = family == .ipv4
        let count = UInt32(family.byteCount)
        let comparison: KernelExpression.Comparison = chance(5) ? .notEqual : .equal
        let endpoint = pick(endpoints)
        let address = { (offset: UInt32, address: IPAddress) -> [KernelExpression] in
            [
                .payload(.network, offset: offset, length: count, register: 1),
                .compare(comparison, register: 1, address.networkOrderBytes),
            ]
        }
        let port = { (offset: UInt32, port: UInt16) -> [KernelExpression] in
            [
                .payload(.transport, offset: offset, length: 2, register: 1),
                .compare(comparison, register: 1, [UInt8(port >> 8), UInt8(port & 0xFF)]),
            ]
        }
        let word = { (value: UInt32) in withUnsafeBytes(of: value.littleEndian, Array.init) }
        let bits = { (key: KernelExpression.ConnectionKey, mask: UInt32) -> [KernelExpression] in
            [
                .connection(key, of: nil, register: 1),
                .mask(from: 1, into: 1, word(mask), xor: word(0)),
                .compare(comparison == .equal ? .notEqual : .equal, register: 1, word(0)),
            ]
        }
        switch Int.random(in: 0..<12, using: &random) {
        case 0: return port(2, packet.destinationPort)
        case 1: return port(2, endpoint?.port ?? 8080)
        case 2: return port(0, endpoint?.port ?? 8080)
        case 3: return address(isIPv4 ? 16 : 24, packet.destination)
        case 4: return address(isIPv4 ? 16 : 24, endpoint?.address ?? packet.destination)
        case 5: return address(isIPv4 ? 12 : 8, packet.source)
        case 6: return address(isIPv4 ? 12 : 8, endpoint?.address ?? packet.source)
        // Established or new; translated by destination or source.
        case 7: return bits(.state, pick([2, 8, 64]) ?? 2)
        case 8: return bits(.status, pick([16, 32]) ?? 32)
        case 9:
            return [
                .connection(.direction, of: nil, register: 1),
                .compare(comparison, register: 1, [chance(2) ? 1 : 0]),
            ]
        case 10:
            return [.meta(.mark, register: 1), .compare(comparison, register: 1, [1, 0, 0, 0])]
        default:
            let interface = Array("cni0".utf8) + [UInt8](repeating: 0, count: 12)
            let key: KernelExpression.MetaKey = chance(2) ? .inputName : .outputName
            return [.meta(key, register: 1), .compare(comparison, register: 1, interface)]
        }
    }
}
