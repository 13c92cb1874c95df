/// Times in nanoseconds, sorted.
struct Percentiles {
    private let sorted: [Int]

    /// The times must not be empty.
    init(_ times: [Int]) {
        precondition(!times.isEmpty, "there is no percentile of nothing")
        sorted = times.sorted()
    }

    var median: Int { self[50] }
    var largest: Int { sorted[sorted.count - 1] }

    /// The smallest time that is not exceeded by so many percent of all (nearest rank).
    subscript(percent: Int) -> Int {
        let rank = (sorted.count * percent + 99) / 100
        return sorted[min(max(rank, 1), sorted.count) - 1]
    }
}

extension [Double] {
    /// The middle one, or the mean of both in the middle; nil if there is none.
    var median: Double? {
        guard !isEmpty else { return nil }
        let sorted = sorted()
        return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2
    }
}
