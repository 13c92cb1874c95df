package import NetworkTypes

/// A table of iptables-legacy in the form that the kernel reads and writes.
///
/// Its entries follow each other and refer to each other by offset
/// (`linux/netfilter_ipv4/ip_tables.h`). The chain of a hook begins where the table says and ends
/// with its policy. Any other chain begins with an entry whose target ERROR carries the chain's
/// name. Integers are in host byte order.
package struct XTable: Equatable, Sendable {
    package static let hookNames = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]

    package var validHooks: UInt32
    /// The offset in bytes of the first entry of each hook's chain.
    package var hookEntries: [UInt32]
    package var underflows: [UInt32]
    package var entries: [UInt8]

    package init(
        validHooks: UInt32,
        hookEntries: [UInt32],
        underflows: [UInt32],
        entries: [UInt8]
    ) {
        self.validHooks = validHooks
        self.hookEntries = hookEntries
        self.underflows = underflows
        self.entries = entries
    }

    /// The error that a table is not laid out as the kernel's tables are.
    package struct Malformed: Error, Equatable {
        package let offset: Int
    }

    package struct Removal: Equatable, Sendable {
        package var table: XTable
        /// The number of entries before the removal.
        package var entriesBefore = 0
        package var kept: [Int] = []
        /// The removed parts, such as `chain KUBE-SERVICES` and `chain PREROUTING: jump
        /// KUBE-SERVICES`.
        package var removed: [String] = []
    }

    /// Returns the table without some chains and without the rules that jump to them.
    package func removing(
        _ family: IPFamily,
        chains isRemoved: (String) -> Bool
    ) throws(Malformed) -> Removal {
        let all = try XTableEntry.all(of: entries, family)
        // A jump leads to the entry after the one that carries the chain's name.
        var chainNames: [Int: String] = [:]
        for case (let entry, .head(let name)) in all.map({ ($0, $0.kind) }) {
            chainNames[entry.end] = name
        }
        var removal = Removal(table: self)
        removal.table.entries = []
        removal.entriesBefore = all.count
        var moved: [Int: Int] = [:]
        var chain = ""
        for (index, entry) in all.enumerated() {
            moved[entry.start] = removal.table.entries.count
            if let hook = hooks.first(where: { hookEntries[$0] == entry.start }) {
                chain = Self.hookNames[hook]
            }
            if case .head(let name) = entry.kind {
                chain = name
                if isRemoved(name) { removal.removed.append("chain \(name)") }
            } else if case .end = entry.kind {
                chain = ""
            }
            if isRemoved(chain) { continue }
            if case .verdict(let verdict) = entry.kind, let target = chainNames[verdict],
                isRemoved(target)
            {
                removal.removed.append("chain \(chain): jump \(target)")
                continue
            }
            removal.kept.append(index)
            removal.table.entries += entries[entry.start..<entry.end]
        }
        try removal.table.relocate(family, moved)
        return removal
    }

    private var hooks: [Int] {
        hookEntries.indices.filter { validHooks & 1 << UInt32($0) != 0 }
    }

    /// Updates all offsets; a reference to a removed entry then points to the next one.
    private mutating func relocate(_ family: IPFamily, _ moved: [Int: Int]) throws(Malformed) {
        func place(_ offset: some BinaryInteger) throws(Malformed) -> Int {
            guard let place = moved[Int(offset)] else { throw Malformed(offset: Int(offset)) }
            return place
        }
        for entry in try XTableEntry.all(of: entries, family) {
            guard case .verdict(let verdict) = entry.kind, verdict >= 0 else { continue }
            let target = Int32(truncatingIfNeeded: try place(verdict))
            entries.withUnsafeMutableBytes {
                $0.storeBytes(of: target, toByteOffset: entry.targetData, as: Int32.self)
            }
        }
        for hook in hooks {
            hookEntries[hook] = UInt32(try place(hookEntries[hook]))
            underflows[hook] = UInt32(try place(underflows[hook]))
        }
    }
}

/// The position of an entry, and the part of its content that matters here.
struct XTableEntry {
    enum Kind {
        /// The beginning of a chain that belongs to no hook; the value is its name.
        case head(String)
        /// A jump to an offset in bytes, or a final verdict if negative.
        case verdict(Int)
        case otherTarget
        /// The last entry of a table.
        case end
    }

    let start: Int
    let end: Int
    let targetData: Int
    let kind: Kind

    /// The size in bytes of `struct xt_entry_target`: size, name and revision.
    private static let targetHeader = 32
    private static let targetNameLength = 29

    static func all(of bytes: [UInt8], _ family: IPFamily) throws(XTable.Malformed) -> [XTableEntry]
    {
        // The sizes of `struct ipt_entry` and `struct ip6t_entry`.
        let (targetOffset, header) = family == .ipv4 ? (88, 112) : (140, 168)
        var entries: [XTableEntry] = []
        var start = 0
        while start < bytes.count {
            let malformed = XTable.Malformed(offset: start)
            guard start + header + targetHeader <= bytes.count else { throw malformed }
            let target = start + Int(bytes.load(start + targetOffset, as: UInt16.self))
            let end = start + Int(bytes.load(start + targetOffset + 2, as: UInt16.self))
            guard target >= start + header, end >= target + targetHeader, end <= bytes.count
            else { throw malformed }
            let data = target + targetHeader
            let kind: Kind
            switch bytes.text(target + 2, limit: targetNameLength) {
            case "ERROR" where end == bytes.count: kind = .end
            case "ERROR": kind = .head(bytes.text(data, limit: end - data))
            case "":
                guard end >= data + 4 else { throw malformed }
                kind = .verdict(Int(bytes.load(data, as: Int32.self)))
            default: kind = .otherTarget
            }
            entries.append(XTableEntry(start: start, end: end, targetData: data, kind: kind))
            start = end
        }
        guard case .end? = entries.last?.kind else { throw XTable.Malformed(offset: start) }
        return entries
    }
}

extension [UInt8] {
    fileprivate func load<T: BitwiseCopyable>(_ offset: Int, as type: T.Type) -> T {
        withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: type) }
    }

    fileprivate func text(_ offset: Int, limit: Int) -> String {
        String(decoding: self[offset..<offset + limit].prefix { $0 != 0 }, as: UTF8.self)
    }
}
