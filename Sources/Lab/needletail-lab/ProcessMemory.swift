internal import FoundationEssentials
internal import Glibc

/// The memory of a process in bytes, as `/proc/PID/status` has it.
struct ProcessMemory {
    let resident: Int
    /// The most that it ever had; `ru_maxrss` would be inherited from the parent.
    let peak: Int

    /// Nil: there is no such process.
    init?(of process: pid_t) {
        guard
            let status = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        else { return nil }
        func bytes(_ field: String) -> Int? {
            let line = status.split(separator: "\n").first { $0.hasPrefix(field) }
            return line.flatMap { Int($0.filter(\.isNumber)) }.map { $0 << 10 }
        }
        guard let resident = bytes("VmRSS:"), let peak = bytes("VmHWM:") else { return nil }
        (self.resident, self.peak) = (resident, peak)
    }
}
