package import NetworkTypes

extension XTable {
    /// The hook `NF_INET_FORWARD`.
    static let forwardHook = 2

    /// The parts of a hook's chain that decide about packets without a match.
    package struct HookChain: Equatable, Sendable {
        /// Whether the policy is DROP.
        package let drops: Bool
        /// The number of rules, not counting the policy.
        package let ruleCount: Int
        /// The names of the chains that the rules jump to.
        package let targets: [String]
    }

    /// Returns the chain at a hook; nil if the table has none there.
    package func chain(ofHook hook: Int, _ family: IPFamily) throws(Malformed) -> HookChain? {
        guard validHooks & 1 << UInt32(hook) != 0, hookEntries.indices.contains(hook),
            underflows.indices.contains(hook)
        else { return nil }
        let all = try XTableEntry.all(of: entries, family)
        var chainNames: [Int: String] = [:]
        for case (let end, .head(let name)) in all.map({ ($0.end, $0.kind) }) {
            chainNames[end] = name
        }
        let (first, policy) = (Int(hookEntries[hook]), Int(underflows[hook]))
        // A negative verdict of a standard target ends the chain: -1 is NF_DROP, -2 is NF_ACCEPT.
        guard case .verdict(let verdict)? = all.first(where: { $0.start == policy })?.kind,
            verdict < 0, first <= policy
        else { throw Malformed(offset: policy) }
        let rules = all.filter { first..<policy ~= $0.start }
        var targets: [String] = []
        for case .verdict(let target) in rules.map(\.kind) {
            guard let name = chainNames[target], !targets.contains(name) else { continue }
            targets.append(name)
        }
        return HookChain(drops: verdict == -1, ruleCount: rules.count, targets: targets)
    }
}
