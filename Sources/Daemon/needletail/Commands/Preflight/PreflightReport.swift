internal import NetworkTypes

/// What was looked at, and what to do next.
struct PreflightReport: Encodable {
    var findings: [PreflightFinding] = []
    /// Commands of the distribution; nothing, if nothing is left to do.
    var next: [String] = []

    func has(_ level: PreflightFinding.Level) -> Bool { findings.contains { $0.level == level } }

    var text: String {
        let width = findings.map(\.subject.count).max() ?? 0
        var lines = findings.map { $0.line(width).printable }
        if !next.isEmpty { lines += ["", "next:"] + next.map { "    \($0.printable)" } }
        return lines.map { $0 + "\n" }.joined()
    }
}

/// One thing that was looked at.
struct PreflightFinding: Encodable {
    enum Level: String, Encodable { case ok, warning, problem }

    let level: Level
    let subject: String
    let text: String

    init(_ level: Level, _ subject: String, _ text: String) {
        (self.level, self.subject, self.text) = (level, subject, text)
    }

    fileprivate func line(_ width: Int) -> String {
        let mark = level == .ok ? "ok     " : level == .warning ? "WARNING" : "PROBLEM"
        return "\(mark)  \(subject.padded(to: width))  \(text)"
    }
}
