/// The outcomes that were found so far.
struct Endings {
    private struct Ending: Hashable {
        let outcome: Outcome
        let writes: [SetWrite]
        let exit: Exit?
    }

    private var paths: [Ending: [Path]] = [:]
    private var order: [Ending] = []
    /// Nil: every way is followed.
    var companion: Companion?

    var isEmpty: Bool { order.isEmpty }

    mutating func add(_ traveller: Traveller, _ outcome: Outcome) {
        guard companion?.ends(traveller, outcome) != false else { return }
        var exit: Exit?
        if case .delivered = outcome {
            exit = Exit(
                packet: traveller.packet,
                connection: traveller.connection,
                isBalanced: traveller.isBalanced
            )
        }
        let ending = Ending(outcome: outcome, writes: traveller.writes, exit: exit)
        let path = Path(
            weight: traveller.weight,
            rules: traveller.rules,
            doubts: traveller.doubts
        )
        if paths[ending] == nil { order.append(ending) }
        paths[ending, default: []].append(path)
    }

    /// What is certain, and what is not, apart.
    var possibilities: [Possibility] {
        order.flatMap { ending in
            let merged = Path.merged(paths[ending] ?? [])
            let certain = merged.filter(\.doubts.isEmpty)
            let doubtful = merged.filter { !$0.doubts.isEmpty }
            return (certain + Self.joined(doubtful)).map { path in
                Possibility(
                    outcome: ending.outcome,
                    weight: path.weight,
                    rules: path.rules,
                    doubts: path.doubts.keys.sorted { "\($0)" < "\($1)" },
                    writes: ending.writes,
                    exit: ending.exit
                )
            }
        }
    }

    /// The bound of one is the sum of the bounds, if that is less than everything.
    private static func joined(_ paths: [Path]) -> [Path] {
        guard var path = paths.first else { return [] }
        for other in paths.dropFirst() {
            let sum = path.weight.adding(other.weight) ?? .one
            path.weight = sum.numerator > sum.denominator ? .one : sum
            path.rules += other.rules.filter { !path.rules.contains($0) }
            path.doubts.merge(other.doubts) { first, _ in first }
        }
        return [path]
    }
}
