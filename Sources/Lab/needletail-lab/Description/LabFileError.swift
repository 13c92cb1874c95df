/// The reason why a lab's file cannot be used.
struct LabFileError: Error, Hashable, CustomStringConvertible {
    let file: String
    /// The line, counted from 1; nil if unknown.
    let line: Int?
    /// The path of the part, as in `services[0].port`; empty if it is the whole file.
    let path: String
    let reason: String

    var description: String {
        let place = line.map { "\(file):\($0)" } ?? file
        return path.isEmpty ? "\(place): \(reason)" : "\(place): \(path): \(reason)"
    }
}

/// The word of a list that somebody may have meant, if it differs in a few letters only.
func nearest(to word: String, among words: [String]) -> String? {
    let found = words.map { ($0, distance(word.lowercased(), $0.lowercased())) }
        .min { $0.1 < $1.1 }
    guard let (near, count) = found, count <= max(1, word.count / 3) else { return nil }
    return near
}

/// The number of letters to add, remove, replace or swap with the next one, to make one word of
/// another.
private func distance(_ left: String, _ right: String) -> Int {
    let (left, right) = (Array(left), Array(right))
    var before: [Int] = []
    var row = Array(0...right.count)
    for (i, letter) in left.enumerated() {
        var next = [i + 1]
        for (j, other) in right.enumerated() {
            var count = min(row[j] + (letter == other ? 0 : 1), row[j + 1] + 1, next[j] + 1)
            if i > 0, j > 0, letter == right[j - 1], left[i - 1] == other {
                count = min(count, before[j - 1] + 1)
            }
            next.append(count)
        }
        (before, row) = (row, next)
    }
    return row[right.count]
}
