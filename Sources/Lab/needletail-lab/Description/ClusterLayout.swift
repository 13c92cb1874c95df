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
    private(set) var pods: [Pod]
    /// The name of the pod that is an ingress, if there is one; nothing else answers in it.
    var ingress: String?

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

    /// Adds a pod for an ingress to the first node.
    mutating func addIngress() {
        pods.append(Pod(name: "ingress", node: 0))
        ingress = "ingress"
    }
}
