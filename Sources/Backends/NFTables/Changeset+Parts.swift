internal import NetworkTypes

extension Changeset {
    /// Returns the changes in several parts, so that no transaction holds the kernel's lock for
    /// long.
    ///
    /// Between two parts every frontend is in its old or its new state, never half changed. A part
    /// has at most `count` elements, unless the flags and slots of one frontend, which must stay
    /// together, are more.
    package func parts(ofAtMost count: Int, _ program: Program) -> [Changeset] {
        var units = Units(program.family, limit: count)
        var opening = Changeset()
        opening.createsTable = createsTable
        opening.addedSets = addedSets
        var closing = Changeset()
        closing.removedSets = removedSets
        for (chain, change) in chains { split(chain, change, program, &opening, &closing) }
        for (changes, isRemoval) in [(removed, true), (added, false)] {
            for (set, elements) in changes.sorted(by: { $0.key.name < $1.key.name }) {
                switch set.role {
                case .fact where isRemoval: opening.removed[set] = elements
                case .fact: opening.added[set] = elements
                case .shared, .frontend: units.add(elements, of: set, isRemoval: isRemoval)
                }
            }
        }
        return ([opening] + units.packed() + [closing]).filter { !$0.isEmpty }
    }

    /// Adds the change of a chain so that rules for new elements exist from the first part on, and
    /// rules for old elements until the last part.
    private func split(
        _ chain: Chain.Name,
        _ change: ChainChange,
        _ program: Program,
        _ opening: inout Changeset,
        _ closing: inout Changeset
    ) {
        switch (chain, change) {
        case (_, .delete): closing.chains[chain] = change
        case (.pick, .replace(let rules)), (.pickLocal, .replace(let rules)):
            opening.chains[chain] = .append(rules)
            closing.chains[chain] = change
        case (.sourceRanges, .replace):
            var both = program
            for case .allowedSources(let length) in removedSets {
                both.numbers.sourceLengths.append(length)
            }
            opening.chains[chain] = .replace(both.chain(chain)?.rules ?? [])
            if !removedSets.isEmpty { closing.chains[chain] = change }
        default: opening.chains[chain] = change
        }
    }
}

extension SetID {
    fileprivate enum Role { case frontend, shared, fact }

    fileprivate var role: Role {
        switch self {
        case .frontends, .endpoints, .localEndpoints, .localPolicy, .sticky, .stickyTimeouts,
            .masqueradeFrontends, .externalFrontends, .noEndpoints, .noLocalEndpoints, .restricted,
            .allowedSources:
            .frontend
        case .clusterIPs, .hairpin, .serviceEndpoints, .formerEndpoints, .affinity: .shared
        case .draining, .inherited, .podCIDRs, .serviceCIDRs: .fact
        }
    }

    /// Whether a frontend may have many elements in this set.
    fileprivate var isPool: Bool {
        switch self {
        case .endpoints, .localEndpoints, .allowedSources: true
        default: false
        }
    }

    fileprivate var isSources: Bool { if case .allowedSources = self { true } else { false } }
}

private struct Change {
    let set: SetID
    let element: Element
    let isRemoval: Bool
}

/// Changes of elements in an order in which they may be committed, grouped by frontend.
private struct Units {
    private let limit: Int
    private let keyLength: Int
    private var byFrontend: [ElementBytes: [Change]] = [:]
    private var order: [ElementBytes] = []
    /// Elements that frontends share are added before the frontends and removed after them, since
    /// they do no harm without frontends.
    private var first: [Change] = []
    private var last: [Change] = []

    init(_ family: IPFamily, limit: Int) {
        self.limit = limit
        keyLength = PacketField.frontend.registerBytes(family)
    }

    mutating func add(_ elements: [Element], of set: SetID, isRemoval: Bool) {
        let changes = elements.lazy.map { Change(set: set, element: $0, isRemoval: isRemoval) }
        guard set.role == .frontend else {
            if isRemoval { last += changes } else { first += changes }
            return
        }
        for change in changes {
            let frontend = change.element.key.prefix(keyLength)
            if byFrontend[frontend] == nil { order.append(frontend) }
            byFrontend[frontend, default: []].append(change)
        }
    }

    func packed() -> [Changeset] {
        var packer = Packer(limit: limit)
        packer.add(each: first)
        for frontend in order {
            let changes = byFrontend[frontend] ?? []
            if changes.count <= limit { packer.add(changes) } else { add(changes, to: &packer) }
        }
        packer.add(each: last)
        return packer.parts
    }

    /// Adds the changes of one frontend that are too many for one part.
    private func add(_ changes: [Change], to packer: inout Packer) {
        let isOf = { (isRemoval: Bool) in
            changes.contains { $0.set == .frontends && $0.isRemoval == isRemoval }
        }
        // If a frontend that stays changes its flags, its slots must change together with them.
        let isSwitched = isOf(true) == isOf(false) && changes.contains { !$0.set.isPool }
        var replaced: [Place: [Change]] = [:]
        for change in changes where change.set.isPool {
            replaced[Place(change), default: []] += [change]
        }
        let isFree = { (change: Change) in
            change.set.isPool && (change.set.isSources || !isSwitched)
                && replaced[Place(change)]?.count == 1
        }
        packer.add(each: changes.filter { isFree($0) && !$0.isRemoval })
        if isSwitched {
            packer.add(changes.filter { !isFree($0) })
        } else {
            packer.add(changes.filter { !$0.set.isPool })
            for pair in replaced.values where pair.count > 1 { packer.add(pair) }
        }
        packer.add(each: changes.filter { isFree($0) && $0.isRemoval })
    }

    private struct Place: Hashable {
        let set: SetID
        let key: ElementBytes

        init(_ change: Change) { (set, key) = (change.set, change.element.key) }
    }
}

/// Puts changes into one part after the other.
private struct Packer {
    let limit: Int
    private(set) var parts: [Changeset] = []
    private var count = 0

    init(limit: Int) { self.limit = limit }

    mutating func add(each changes: [Change]) {
        for change in changes { add([change]) }
    }

    mutating func add(_ unit: [Change]) {
        guard !unit.isEmpty else { return }
        if parts.isEmpty || count + unit.count > limit {
            parts.append(Changeset())
            count = 0
        }
        count += unit.count
        let part = parts.count - 1
        for change in unit {
            if change.isRemoval {
                parts[part].removed[change.set, default: []].append(change.element)
            } else {
                parts[part].added[change.set, default: []].append(change.element)
            }
        }
    }
}
