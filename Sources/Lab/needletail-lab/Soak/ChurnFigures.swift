internal import EmbeddedAPIServer
internal import FoundationEssentials
internal import Glibc
internal import NetworkNamespaces
internal import NetworkTypes

/// What a daemon holds at one moment, as seen from outside.
struct ChurnFigures {
    /// The changes in the API so far.
    let changes: Int
    /// Resident memory in bytes.
    let resident: Int
    let descriptors: Int
    let threads: Int
    /// The bytes of the journal's entries, as the daemon reports them.
    let journal: Int
    let kernel: KernelObjects

    /// The memory that is not the journal's, which has a limit of its own and fills up to it.
    var held: Int { resident - journal }

    init(_ node: SoakNode, changes: Int) throws {
        guard let memory = ProcessMemory(of: node.child),
            let descriptors = Self.entries("/proc/\(node.child)/fd"),
            let threads = Self.entries("/proc/\(node.child)/task")
        else { throw LabError("the daemon has ended") }
        self.changes = changes
        resident = memory.resident
        (self.descriptors, self.threads) = (descriptors, threads)
        journal = try Self.journal(node)
        kernel = try KernelObjects(node)
    }

    /// Connections that are open at one moment.
    static let descriptorNoise = 4

    /// Whether no more is held than at another moment, but for memory and for what the kernel forgets.
    func isLike(_ other: ChurnFigures) -> Bool {
        kernel.elements == other.kernel.elements
            && descriptors <= other.descriptors + Self.descriptorNoise
    }

    private static func entries(_ folder: String) -> Int? {
        try? FileManager.default.contentsOfDirectory(atPath: folder).count
    }

    private static func journal(_ node: SoakNode) throws -> Int {
        let metrics = FrontendKey(IPAddress(ipv4: 0x7F00_0001), .tcp, 10249)
        let outcome = try HTTPRequest(path: "/metrics")
            .send(to: metrics, from: node.namespace, patience: 5)
        guard case .answered(let answer) = outcome,
            let line = answer.body.split(separator: "\n")
                .first(where: { $0.hasPrefix("needletail_journal_bytes ") }),
            let bytes = line.split(separator: " ").last.flatMap({ Double($0) })
        else { throw LabError("the daemon does not report the size of its journal") }
        return Int(bytes)
    }

    static let heading = [
        "changes", "RSS", "journal", "descriptors", "threads", "elements", "expiring", "rules",
    ].map { $0.leftPadded(12) }.joined()

    var row: String {
        [
            "\(changes)", "\(resident >> 10) KiB", "\(journal >> 10) KiB", "\(descriptors)",
            "\(threads)", "\(kernel.elements)", "\(kernel.expiring)", "\(kernel.rules)",
        ].map { $0.leftPadded(12) }.joined()
    }
}
