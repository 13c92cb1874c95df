/// The nodes of a cluster by their names, and the pods on them.
struct ClusterLayout: Hashable {
    struct Pod: Hashable {
        let name: String
        /// The position of its node.
        let node: Int
    }

    static let mostNodes = 9
    static let mostPodsOnNode = 20

    let nodes: [String]
    let pods: [Pod]

    init(nodes: [String], pods: [Pod]) { (self.nodes, self.pods) = (nodes, pods) }

    /// Makes node1, node2, … and shares out the pods in turn.
    init(nodeCount: Int, podNames: [String]) {
        nodes = (1...nodeCount).map { "node\($0)" }
        pods = podNames.enumerated().map { Pod(name: $1, node: $0 % nodeCount) }
    }

    /// Makes nodes with two pods each.
    init(nodeCount: Int) {
        self.init(nodeCount: nodeCount, podNames: (1...2 * nodeCount).map { "web-\($0)" })
    }
}
