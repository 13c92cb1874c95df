internal import YAML

/// Reads the nodes and pods of a lab's file.
struct LayoutReader {
    let flags: LabDescription.Flags

    private enum Pods {
        case named([String])
        case counted(Int)
    }

    /// Places of a lab that are neither nodes nor pods, and names that interfaces have.
    private static let reserved: Set = ["client", "api", "switch", "switch0", "switch1", "lo"]
    /// A node's name is that of an interface, too (`IFNAMSIZ` of `linux/if.h`).
    private static let longestNode = 15
    private static let longestPod = 40

    func layout(_ fields: [String: LabFilePart]) throws(LabFileError) -> ClusterLayout {
        var usual = Pods.counted(2)
        if let part = fields["pods"] { usual = .counted(try Self.podCount(part)) }
        var taken: Set<String> = []
        let nodes = try nodes(fields["nodes"], usual, &taken)
        var pods: [ClusterLayout.Pod] = []
        var counts: [Int] = []
        for (position, node) in nodes.enumerated() {
            switch node.pods {
            case .named(let names):
                pods += names.map { ClusterLayout.Pod(name: $0, node: position) }
                counts.append(0)
            case .counted(let count): counts.append(count)
            }
        }
        // Pods without names are web-1, web-2, … in turn, as without a file.
        var number = 0
        for round in 0..<(counts.max() ?? 0) {
            for (position, count) in counts.enumerated() where round < count {
                repeat { number += 1 } while taken.contains("web-\(number)")
                pods.append(ClusterLayout.Pod(name: "web-\(number)", node: position))
            }
        }
        return ClusterLayout(nodes: nodes.map(\.name), pods: pods)
    }

    private static func podCount(_ part: LabFilePart) throws(LabFileError) -> Int {
        try part.integer(in: 0...ClusterLayout.mostPodsOnNode)
    }

    private func nodes(
        _ part: LabFilePart?,
        _ usual: Pods,
        _ taken: inout Set<String>
    ) throws(LabFileError) -> [(name: String, pods: Pods)] {
        guard let part else { return Self.numbered(flags.nodes ?? 3, usual) }
        let nodes: [(name: String, pods: Pods)]
        if part.node.sequence == nil {
            nodes = Self.numbered(try part.integer(in: 1...ClusterLayout.mostNodes), usual)
        } else {
            let items = try part.list()
            guard 1...ClusterLayout.mostNodes ~= items.count else {
                throw part.failure(
                    "has \(items.count) nodes; 1 to \(ClusterLayout.mostNodes) are possible"
                )
            }
            var list: [(name: String, pods: Pods)] = []
            for item in items { list.append(try Self.node(item, usual, &taken)) }
            nodes = list
        }
        if let said = flags.nodes, said != nodes.count {
            throw part.failure(
                "has \(nodes.count) nodes, and --nodes says \(said); leave one of them out"
            )
        }
        return nodes
    }

    private static func numbered(_ count: Int, _ usual: Pods) -> [(name: String, pods: Pods)] {
        (1...count).map { ("node\($0)", usual) }
    }

    private static func node(
        _ part: LabFilePart,
        _ usual: Pods,
        _ taken: inout Set<String>
    ) throws(LabFileError) -> (name: String, pods: Pods) {
        guard part.node.mapping != nil else {
            return (try nodeName(part, &taken), usual)
        }
        let fields = try part.fields(["name", "pods"])
        guard let name = fields["name"] else { throw part.failure("has no name") }
        let node = try nodeName(name, &taken)
        guard let pods = fields["pods"] else { return (node, usual) }
        guard pods.node.sequence != nil else { return (node, .counted(try podCount(pods))) }
        let items = try pods.list()
        guard items.count <= ClusterLayout.mostPodsOnNode else {
            throw pods.failure("has more than \(ClusterLayout.mostPodsOnNode) pods")
        }
        var names: [String] = []
        for item in items { names.append(try claim(item, longestPod, &taken)) }
        return (node, .named(names))
    }

    private static func nodeName(
        _ part: LabFilePart,
        _ taken: inout Set<String>
    ) throws(LabFileError) -> String {
        let name = try claim(part, longestNode, &taken)
        guard !name.hasPrefix("pod-") else {
            throw part.failure("\(name) is a pod's namespace; a node's name begins otherwise")
        }
        return name
    }

    /// Reads a name that no other node or pod has.
    private static func claim(
        _ part: LabFilePart,
        _ longest: Int,
        _ taken: inout Set<String>
    ) throws(LabFileError) -> String {
        let name = try part.name(longest: longest)
        guard !reserved.contains(name) else {
            throw part.failure("\(name) is a place that every lab has; choose another name")
        }
        guard taken.insert(name).inserted else {
            throw part.failure("\(name) is another node or pod; choose another name")
        }
        return name
    }
}
