internal import ServicePlan

extension LocalDetection {
    /// Matches packets that no pod sent; empty if pods cannot be recognized.
    var nonPods: [Statement] {
        switch self {
        case .none: []
        case .podCIDRs: [.lookup([.sourceAddress], in: .podCIDRs, negated: true)]
        case .interface(let name): [.inputInterfaceIsNot(name: name, isPrefix: false)]
        case .interfacePrefix(let name): [.inputInterfaceIsNot(name: name, isPrefix: true)]
        }
    }

    /// Match, in postrouting, packets that no pod sent; none if pods cannot be recognized.
    ///
    /// A packet from a pod to another one on its bridge has no input interface there, like the
    /// node's own packets, and leaves on the bridge.
    var leavingNonPods: [[Statement]] {
        switch self {
        case .none: []
        case .podCIDRs: [nonPods]
        case .interface(let name): Self.leaving(name, isPrefix: false)
        case .interfacePrefix(let name): Self.leaving(name, isPrefix: true)
        }
    }

    private static func leaving(_ name: String, isPrefix: Bool) -> [[Statement]] {
        let hasNoInput = Statement.inputInterfaceIsKnown(false)
        return [
            [.inputInterfaceIsKnown(true), .inputInterfaceIsNot(name: name, isPrefix: isPrefix)],
            [hasNoInput, .outputInterfaceIsNot(name: name, isPrefix: isPrefix)],
            [hasNoInput, .sourceIsLocal(true)],
        ]
    }
}
