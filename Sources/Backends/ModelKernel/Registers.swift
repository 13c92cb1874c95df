/// The registers of a rule: 64 bytes, some of which are chance, and some unknown.
///
/// A rule finds nothing in them that another one has left: since `net/netfilter/nf_tables_api.c:
/// nft_parse_register_load` the kernel takes no rule that reads what it has not written.
struct Registers {
    private var bytes = [UInt8](repeating: 0, count: Self.size)
    /// Words that are one of several values, all equally likely.
    private(set) var choices: [Int: [UInt32]] = [:]
    private var unknowns: [Int: String] = [:]

    private static let size = 64

    /// Where a register begins: `NFT_REG_1` to `NFT_REG_4` have 16 bytes each, `NFT_REG32_00` to
    /// `NFT_REG32_15` have four.
    static func offset(_ register: UInt32) -> Int {
        register < 8 ? 16 * (Int(register) - 1) : 4 * (Int(register) - 8)
    }

    private static func words(_ offset: Int, _ length: Int) -> Range<Int> {
        offset / 4..<(offset + max(length, 1) + 3) / 4
    }

    /// Whether there are that many bytes behind the start of a register.
    static func holds(_ register: UInt32, _ length: Int) -> Bool {
        let start = offset(register)
        return start >= 0 && start + (length + 3) & ~3 <= size
    }

    /// The bytes from a register on; chance must have been settled.
    func read(_ register: UInt32, _ length: Int) -> [UInt8] {
        let start = Self.offset(register)
        return Array(bytes[start..<(start + length)])
    }

    /// Why the bytes are not known; nil if they are.
    func reason(_ register: UInt32, _ length: Int) -> String? {
        guard !unknowns.isEmpty else { return nil }
        let words = Self.words(Self.offset(register), length)
        return unknowns.filter { words.contains($0.key) }.min { $0.key < $1.key }?.value
    }

    /// The first word of chance among the bytes.
    func choice(_ register: UInt32, _ length: Int) -> Int? {
        guard !choices.isEmpty else { return nil }
        let words = Self.words(Self.offset(register), length)
        return choices.keys.filter(words.contains).min()
    }

    /// Writes bytes, and zeros up to the next word.
    mutating func write(_ value: [UInt8], to register: UInt32) {
        let start = Self.offset(register)
        for (index, byte) in value.enumerated() { bytes[start + index] = byte }
        for index in value.count..<((value.count + 3) & ~3) { bytes[start + index] = 0 }
        forget(start, value.count)
    }

    mutating func write(_ value: UInt32, to register: UInt32) {
        write(withUnsafeBytes(of: value, Array.init), to: register)
    }

    mutating func writeUnknown(_ reason: String, _ length: Int, to register: UInt32) {
        let start = Self.offset(register)
        forget(start, length)
        for word in Self.words(start, length) { unknowns[word] = reason }
    }

    mutating func write(oneOf values: [UInt32], to register: UInt32) {
        let start = Self.offset(register)
        forget(start, 4)
        settle(start / 4, values)
    }

    /// Leaves only some values of a word of chance.
    mutating func settle(_ word: Int, _ values: [UInt32]) {
        choices[word] = values.count == 1 ? nil : values
        guard let value = values.first else { return }
        withUnsafeBytes(of: value) { for index in 0..<4 { bytes[4 * word + index] = $0[index] } }
    }

    private mutating func forget(_ start: Int, _ length: Int) {
        guard !choices.isEmpty || !unknowns.isEmpty else { return }
        for word in Self.words(start, length) {
            choices[word] = nil
            unknowns[word] = nil
        }
    }
}
