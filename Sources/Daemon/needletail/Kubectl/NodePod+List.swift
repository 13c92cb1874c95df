internal import FoundationEssentials

extension NodePod {
    /// Returns the daemons' pods in what `kubectl get pods --output json` prints, one for each node.
    static func all(in text: String) throws -> [NodePod] {
        let list: PodList
        do {
            list = try JSONDecoder().decode(PodList.self, from: Data(text.utf8))
        } catch {
            throw Failure("kubectl get pods printed no list of pods: \(error)")
        }
        let pods = list.items.filter { $0.metadata.deletionTimestamp == nil }
            .sorted {
                ($0.metadata.creationTimestamp ?? "") < ($1.metadata.creationTimestamp ?? "")
            }
        // While pods are replaced a node may have two: the younger one counts.
        var byNode: [String: NodePod] = [:]
        for pod in pods {
            guard let node = pod.spec.nodeName else { continue }
            byNode[node] = NodePod(
                node: node,
                pod: pod.metadata.name,
                container: pod.spec.containers.map(\.name)
                    .first(where: NodePod.containers.contains),
                phase: pod.status?.phase
            )
        }
        return byNode.values.sorted { $0.node < $1.node }
    }
}

private struct PodList: Decodable {
    struct Pod: Decodable {
        struct Metadata: Decodable {
            let name: String
            let creationTimestamp: String?
            let deletionTimestamp: String?
        }
        struct Spec: Decodable {
            struct Container: Decodable { let name: String }
            let nodeName: String?
            let containers: [Container]
        }
        struct Status: Decodable { let phase: String? }

        let metadata: Metadata
        let spec: Spec
        let status: Status?
    }
    let items: [Pod]
}
