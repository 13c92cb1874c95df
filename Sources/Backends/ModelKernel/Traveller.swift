internal import NFTables

/// A packet at some point of its way, with how it came there.
struct Traveller {
    var packet: Packet
    /// Nil before conntrack has seen the packet, and if it never will.
    var tracking: Tracking?
    var isUntracked = false
    /// A virtual server has chosen the destination.
    var isBalanced = false
    var weight = Fraction.one
    var rules: [RuleReference] = []
    /// What could not be evaluated, and how it was taken to be on this way.
    var doubts: [Doubt: Bool] = [:]
    var writes: [SetWrite] = []
    /// How many sightings of a real packet it has gone along with, and how many of its rules were
    /// compared with those.
    var (sighted, comparedRules) = (0, 0)

    init(_ packet: Packet) { self.packet = packet }

    var connection: Connection? {
        get { if case .connection(let connection) = tracking { connection } else { nil } }
        set { tracking = newValue.map(Tracking.connection) }
    }

    /// The same with a doubt taken one way.
    func doubting(_ rule: RuleReference?, _ reason: String, holds: Bool) -> Traveller {
        var copy = self
        var doubt = Doubt(rule, reason)
        while copy.doubts[doubt] != nil { doubt.repetition += 1 }
        copy.doubts[doubt] = holds
        return copy
    }

    /// What later hooks can tell travellers by.
    private struct Appearance: Hashable {
        let packet: Packet
        let tracking: Tracking?
        let isUntracked: Bool
        let isBalanced: Bool
        let writes: [SetWrite]
        let sighted: Int
    }

    private var appearance: Appearance {
        Appearance(
            packet: packet,
            tracking: tracking,
            isUntracked: isUntracked,
            isBalanced: isBalanced,
            writes: writes,
            sighted: sighted
        )
    }

    /// Makes one of those that nothing tells apart, so that rules do not multiply them.
    static func merged(_ travellers: [Traveller]) -> [Traveller] {
        guard travellers.count > 1 else { return travellers }
        var groups: [Appearance: [Path]] = [:]
        var order: [Traveller] = []
        for traveller in travellers {
            let appearance = traveller.appearance
            if groups[appearance] == nil { order.append(traveller) }
            groups[appearance, default: []].append(
                Path(weight: traveller.weight, rules: traveller.rules, doubts: traveller.doubts)
            )
        }
        return order.flatMap { traveller in
            Path.merged(groups[traveller.appearance] ?? []).map { path in
                var copy = traveller
                (copy.weight, copy.rules, copy.doubts) = (path.weight, path.rules, path.doubts)
                return copy
            }
        }
    }
}

/// One way to a point, or several that have the same doubts.
struct Path {
    var weight: Fraction
    var rules: [RuleReference]
    var doubts: [Doubt: Bool]

    /// More paths than that become one, which is as doubtful as all of them.
    private static let limit = 64

    /// Joins paths to the same point.
    ///
    /// What happens however a doubt is taken is not doubtful.
    static func merged(_ paths: [Path]) -> [Path] {
        guard paths.count > 1 else { return paths }
        var merged: [Path] = []
        var rest = paths[...]
        while let path = rest.popFirst() {
            if let index = merged.firstIndex(where: { $0.doubts == path.doubts }),
                let sum = merged[index].weight.adding(path.weight)
            {
                merged[index].weight = sum
                merged[index].add(rules: path.rules)
            } else if let index = merged.firstIndex(where: { $0.opposed(to: path) != nil }),
                let doubt = merged[index].opposed(to: path)
            {
                // Now it may be like another one.
                var certain = merged.remove(at: index)
                certain.doubts[doubt] = nil
                certain.add(rules: path.rules)
                rest.append(certain)
            } else {
                merged.append(path)
            }
        }
        return merged.count > limit ? [blurred(merged)] : merged
    }

    /// The doubt that the two take differently, if that is all that tells them apart.
    private func opposed(to other: Path) -> Doubt? {
        guard weight == other.weight, doubts.count == other.doubts.count else { return nil }
        let differing = doubts.filter { other.doubts[$0.key] != $0.value }
        guard differing.count == 1, let doubt = differing.first?.key,
            other.doubts[doubt] != nil
        else { return nil }
        return doubt
    }

    private static func blurred(_ paths: [Path]) -> Path {
        var path = Path(weight: .one, rules: [], doubts: [:])
        for other in paths {
            path.add(rules: other.rules)
            path.doubts.merge(other.doubts) { first, _ in first }
        }
        return path
    }

    private mutating func add(rules others: [RuleReference]) {
        guard rules != others else { return }
        var known = Set(rules)
        rules += others.filter { known.insert($0).inserted }
    }
}
