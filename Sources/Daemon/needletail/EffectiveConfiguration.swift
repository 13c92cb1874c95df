internal import Configuration
internal import FoundationEssentials
internal import Glibc
internal import KubernetesModel
internal import NetworkTypes
internal import ServicePlan
internal import PlanCompiler
internal import Reconciler

/// The configuration that results from the flags and the file, checked.
struct EffectiveConfiguration {
    var value: KubeProxyConfiguration
    /// Notices for the operator, each to be logged once.
    var notices: [String] = []

    /// - Throws: a problem with the file or the flags, which names the field
    init(file: String?, flags: GivenFlags) throws {
        value = KubeProxyConfiguration()
        if let file {
            let warnings: [ConfigurationProblem]
            let text = try Self.text(of: file)
            do throws(ConfigurationProblem) {
                (value, warnings) = try KubeProxyConfiguration.read(yaml: text)
            } catch {
                throw Failure("\(file): \(error)")
            }
            notices += warnings.map { "\(file): \($0)" }
            let ignored = flags.ignoredBesideFile
            if !ignored.isEmpty {
                notices.append(
                    "\(ignored.joined(separator: ", ")): ignored, since --config is given; set the"
                        + " fields in \(file)"
                )
            }
        }
        do throws(ConfigurationProblem) {
            try flags.apply(to: &value, besideFile: file != nil)
        } catch {
            throw Failure(usage: error)
        }
        try check(file)
        // This is kube-proxy's default in mode ipvs; a cluster with kube-proxy's file may rely on
        // it.
        if file != nil, value.mode == "ipvs", value.nodePortAddresses.isEmpty {
            value.nodePortAddresses = ["all"]
        }
        if value.mode == "iptables" { notices.append("mode iptables runs as nftables") }
        let gates = value.featureGates.keys.filter {
            !KubeProxyConfiguration.effectiveGates.contains($0)
        }
        if !gates.isEmpty {
            notices.append(
                "featureGates (--feature-gates): \(gates.sorted().map(\.yaml).joined(separator: ", ")):"
                    + " no effect; the gates that have an effect here are"
                    + " \(KubeProxyConfiguration.effectiveGates.sorted().joined(separator: ", "))"
            )
        }
        notices += value.idleSettings.map { "\($0.field) has no effect: \($0.reason)" }
    }

    private func check(_ file: String?) throws {
        var problems = value.validate().map { "\($0)" }
        if !value.ipvs.scheduler.isEmpty, !Balancing.schedulers.contains(value.ipvs.scheduler) {
            problems.append(
                "ipvs.scheduler (--ipvs-scheduler): \(value.ipvs.scheduler.quoted) is not one of IPVS's"
                    + " schedulers (\(Balancing.schedulers.sorted().joined(separator: ", ")))"
            )
        }
        guard !problems.isEmpty else { return }
        let prefix = file.map { "\($0): " } ?? ""
        throw Failure(problems.map { prefix + $0 })
    }

    private static func text(of file: String) throws -> String {
        guard access(file, R_OK) == 0 else {
            throw Failure("\(file) cannot be read: \(String(cString: strerror(errno)))")
        }
        var status = stat()
        guard stat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw Failure("\(file) is not a regular file; --config needs one that it can watch")
        }
        do {
            return String(decoding: try Data(contentsOf: URL(filePath: file)), as: UTF8.self)
        } catch {
            let code = ((error as? CocoaError)?.underlying as? POSIXError)?.code.rawValue ?? EIO
            throw Failure("\(file) cannot be read: \(String(cString: strerror(code)))")
        }
    }
}

extension KubeProxyConfiguration {
    var endpoints: EndpointsSource {
        EndpointsSource(rawValue: needletail.endpointsSource) ?? .endpointSlices
    }

    /// How long an update may wait before this node counts as unhealthy, in seconds.
    var patience: Double { 2 * syncPeriod.seconds }

    func nodeConfiguration() throws -> NodeConfiguration {
        var configuration = NodeConfiguration(nodeName: try nodeName())
        configuration.nodeIPs = needletail.nodeIPs.compactMap { IPAddress($0) }
        let bound = IPAddress(bindAddress)
        configuration.bindAddress = bound?.isUnspecified == false ? bound : nil
        configuration.nodePortAddresses = nodePortAddressesInForce
        configuration.masqueradesAll = masqueradesAll
        configuration.allowsExternalIPs = allowsExternalIPs
        configuration.allowsNodeAddresses = needletail.nodeAddressesAsExternalIPs
        for (address, user) in [(healthzAddress, "health"), (metricsAddress, "metrics")] {
            guard let port = address.split(separator: ":").last.flatMap({ UInt16($0) }) else {
                continue
            }
            configuration.protectedPorts[port] = "needletail's \(user)"
        }
        configuration.countsConnections = needletail.serviceMetrics > 0
        if proxyMode == .ipvs { configuration.largestPool = nil }
        switch detectLocalMode {
        case "NodeCIDR":
            configuration.localDetection = .podCIDRs
            configuration.podCIDRs = .node
        case "BridgeInterface":
            configuration.localDetection = .interface(detectLocal.bridgeInterface)
        case "InterfaceNamePrefix":
            configuration.localDetection = .interfacePrefix(detectLocal.interfaceNamePrefix)
        default:
            configuration.localDetection = .podCIDRs
            configuration.podCIDRs = .cluster(
                clusterCIDR.commaSeparated.compactMap { IPPrefix($0) }
            )
        }
        return configuration
    }

    /// Returns the name of this node, trimmed and in lower case, as the kubelet registers it.
    private func nodeName() throws -> String {
        if !hostnameOverride.isEmpty { return hostnameOverride.trimmed.lowercased() }
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
