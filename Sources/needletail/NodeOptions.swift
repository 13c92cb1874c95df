internal import ArgumentParser
internal import Glibc
internal import NetworkTypes
internal import PlanCompiler
internal import ServicePlan

/// What is said of the node.
///
/// Names and meanings are kube-proxy's where it has the flag.
struct NodeOptions: ParsableArguments {
    @Option(help: "The name of this node; default: its host name.")
    var hostnameOverride: String?

    @Option(help: "The node's primary addresses, one of each family; default: those of its Node.")
    var nodeIP: AddressList?

    @Option(help: "CIDR blocks of all pods of the cluster, to tell pods from others.")
    var clusterCIDR: PrefixList?

    @Flag(help: "Masquerade everything that is sent to cluster IPs.")
    var masqueradeAll = false

    @Option(
        name: .customLong("nodeport-addresses"),
        help: "Where NodePorts answer: CIDR blocks of node addresses, or \"primary\"."
    )
    var nodePortAddresses: NodePortSelection = .init()

    @Option(
        help: "How to tell pods: ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix."
    )
    var detectLocalMode = DetectLocalMode.clusterCIDR

    @Option(help: "The pods' bridge, for BridgeInterface.")
    var podBridgeInterface: String?

    @Option(help: "How names of pod interfaces begin, for InterfaceNamePrefix.")
    var podInterfaceNamePrefix: String?

    func validate() throws {
        if detectLocalMode == .bridgeInterface {
            try Self.checkInterface(podBridgeInterface, "--pod-bridge-interface", "BridgeInterface")
        }
        if detectLocalMode == .interfaceNamePrefix {
            try Self.checkInterface(
                podInterfaceNamePrefix,
                "--pod-interface-name-prefix",
                "InterfaceNamePrefix"
            )
        }
    }

    /// A name as the kernel has it: 1 to 15 bytes without blanks and slashes.
    private static func checkInterface(_ name: String?, _ flag: String, _ mode: String) throws {
        guard let name, !name.isEmpty else {
            throw ValidationError("--detect-local-mode \(mode) needs \(flag)")
        }
        guard name.utf8.count <= 15, !name.contains(where: { " /\"*".contains($0) }) else {
            throw ValidationError("\(flag): \"\(name)\" cannot be the name of an interface")
        }
    }

    func configuration() throws -> NodeConfiguration {
        var configuration = NodeConfiguration(nodeName: try nodeName())
        configuration.nodeIPs = nodeIP?.addresses ?? []
        configuration.nodePortAddresses = nodePortAddresses.value
        configuration.masqueradesAll = masqueradeAll
        switch detectLocalMode {
        case .clusterCIDR:
            configuration.localDetection = .podCIDRs
            configuration.podCIDRs = .cluster(clusterCIDR?.prefixes ?? [])
        case .nodeCIDR:
            configuration.localDetection = .podCIDRs
            configuration.podCIDRs = .node
        case .bridgeInterface:
            configuration.localDetection = .interface(podBridgeInterface ?? "")
        case .interfaceNamePrefix:
            configuration.localDetection = .interfacePrefix(podInterfaceNamePrefix ?? "")
        }
        return configuration
    }

    /// Trimmed and in lower case, as the kubelet registers it.
    private func nodeName() throws -> String {
        if let hostnameOverride {
            let name = hostnameOverride.trimmed
            guard !name.isEmpty else { throw Failure("--hostname-override is blank") }
            return name.lowercased()
        }
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count) == 0 else {
            throw Failure("the host name cannot be read; give --hostname-override")
        }
        return String(
            decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)),
            as: UTF8.self
        )
        .lowercased()
    }
}

enum DetectLocalMode: String, ExpressibleByArgument, CaseIterable {
    case clusterCIDR = "ClusterCIDR"
    case nodeCIDR = "NodeCIDR"
    case bridgeInterface = "BridgeInterface"
    case interfaceNamePrefix = "InterfaceNamePrefix"
}

struct AddressList: ExpressibleByArgument {
    let addresses: [IPAddress]

    init?(argument: String) {
        let parts = argument.commaSeparated
        addresses = parts.compactMap { IPAddress($0) }
        guard addresses.count == parts.count else { return nil }
    }
}

struct PrefixList: ExpressibleByArgument {
    let prefixes: [IPPrefix]

    init() { prefixes = [] }

    init?(argument: String) {
        let parts = argument.commaSeparated
        prefixes = parts.compactMap { IPPrefix($0) }
        guard prefixes.count == parts.count else { return nil }
    }
}

struct NodePortSelection: ExpressibleByArgument, CustomStringConvertible {
    let value: NodeConfiguration.NodePortAddresses
    let description: String

    init() {
        value = .primary
        description = "primary"
    }

    init?(argument: String) {
        description = argument
        if argument == "primary" {
            value = .primary
        } else {
            guard let list = PrefixList(argument: argument) else { return nil }
            value = .within(list.prefixes)
        }
    }
}

extension String {
    var trimmed: String {
        String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }

    fileprivate var commaSeparated: [String] {
        split(separator: ",", omittingEmptySubsequences: false).map { String($0).trimmed }
    }
}
