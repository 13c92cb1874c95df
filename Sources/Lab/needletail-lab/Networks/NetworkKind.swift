internal import ArgumentParser
internal import FoundationEssentials
internal import NetworkNamespaces
internal import NetworkTypes

/// A kind of network between pods, built as its own documentation describes it.
enum NetworkKind: String, CaseIterable, ExpressibleByArgument, Sendable {
    case bridge
    case flannelVXLAN = "flannel-vxlan"
    case flannelHostGateway = "flannel-host-gw"
    case flannelDirectRouting = "flannel-vxlan-directrouting"
    case flannelUDP = "flannel-udp"
    case calicoRouted = "calico-routed"
    case calicoReflector = "calico-route-reflector"
    case calicoVXLAN = "calico-vxlan"
    case calicoIPIP = "calico-ipip"
    case macvlan
    case ipvlanL2 = "ipvlan-l2"
    case ipvlanL3 = "ipvlan-l3"
    case ipvlanL3S = "ipvlan-l3s"
    case wireguard
    case vrf
    case cniBridge = "cni-bridge"
    case cniPTP = "cni-ptp"

    var summary: String {
        switch self {
        case .bridge: "a bridge on each node, routes between nodes"
        case .flannelVXLAN: "bridges, a VXLAN device on each node"
        case .flannelHostGateway: "bridges, routes by the nodes' addresses"
        case .flannelDirectRouting: "bridges, routes on one segment, VXLAN to the other"
        case .flannelUDP: "bridges, a TUN device on each node and a forwarder in UDP"
        case .calicoRouted: "a route for each pod, BGP in a full mesh"
        case .calicoReflector: "a route for each pod, BGP by a route reflector"
        case .calicoVXLAN: "a route for each pod, VXLAN between nodes"
        case .calicoIPIP: "a route for each pod, IPIP between nodes"
        case .macvlan: "pods on the nodes' network, a way to Services through the node"
        case .ipvlanL2: "pods on the nodes' network and with the node's hardware address"
        case .ipvlanL3: "pods behind the node's interface, which the node routes for"
        case .ipvlanL3S: "the same, and the node's rules see what comes in, too"
        case .wireguard: "bridges, an encrypted mesh of WireGuard devices"
        case .vrf: "uplink and bridge of each node in a VRF"
        case .cniBridge: "the CNI plugins bridge, host-local and portmap"
        case .cniPTP: "the CNI plugins ptp, host-local and portmap"
        }
    }

    // MARK: How it is built

    private var isCalico: Bool {
        [.calicoRouted, .calicoReflector, .calicoVXLAN, .calicoIPIP].contains(self)
    }

    var hasTwoSegments: Bool { self == .flannelDirectRouting }

    func wiring(_ directory: String) -> any PodWiring {
        switch self {
        case .bridge, .flannelHostGateway, .flannelVXLAN, .flannelDirectRouting, .flannelUDP,
            .wireguard:
            BridgeWiring(mtu: overlayMTU ?? 1500)
        case .calicoRouted, .calicoReflector, .calicoVXLAN, .calicoIPIP:
            RoutedWiring(mtu: overlayMTU ?? 1500)
        case .macvlan: SharedInterfaceWiring(device: "macvlan mode bridge")
        case .ipvlanL2: SharedInterfaceWiring(device: "ipvlan mode l2")
        case .ipvlanL3: SharedInterfaceWiring(device: "ipvlan mode l3", isRouted: true)
        case .ipvlanL3S: SharedInterfaceWiring(device: "ipvlan mode l3s", isRouted: true)
        case .vrf: VRFWiring()
        case .cniBridge: CNIWiring(plugin: "bridge", directory: directory)
        case .cniPTP: CNIWiring(plugin: "ptp", directory: directory)
        }
    }

    func interconnect(_ directory: String) -> any NodeInterconnect {
        switch self {
        case .bridge, .flannelHostGateway, .ipvlanL3, .ipvlanL3S, .cniBridge, .cniPTP:
            HostRoutes()
        case .vrf: HostRoutes(vrf: VRFWiring.device)
        case .flannelVXLAN: VXLANOverlay.flannel
        case .flannelDirectRouting:
            VXLANOverlay.flannel.with { $0.isDirectWithinSegment = true }
        case .flannelUDP: UDPTunnels()
        case .calicoRouted: BGPRoutes(directory: directory, hasReflector: false)
        case .calicoReflector: BGPRoutes(directory: directory, hasReflector: true)
        case .calicoVXLAN: VXLANOverlay.calico
        case .calicoIPIP: IPIPTunnels()
        case .wireguard: WireGuardMesh(directory: directory)
        case .macvlan, .ipvlanL2: SharedNetwork()
        }
    }

    /// The families that it connects pods of different nodes in.
    var families: [IPFamily] { self == .flannelUDP ? [.ipv4] : [.ipv4, .ipv6] }

    /// The MTU of pods if the way between nodes has a smaller one than the nodes' own network.
    var overlayMTU: Int? {
        switch self {
        case .flannelVXLAN, .flannelDirectRouting, .calicoVXLAN: 1500 - VXLANOverlay.overhead
        case .flannelUDP: 1500 - UDPTunnels.overhead
        case .calicoIPIP: 1480
        case .wireguard: 1500 - WireGuardMesh.overhead
        default: nil
        }
    }

    /// The beginning of the names of the nodes' ends of pods' veth pairs.
    var portPrefix: String {
        isCalico ? RoutedWiring.prefix : BridgeWiring.prefix
    }

    // MARK: What the proxy is told

    /// How needletail tells the node's own pods from other clients.
    var detection: [String] {
        switch self {
        case .calicoRouted, .calicoReflector, .calicoVXLAN, .calicoIPIP:
            [
                "--detect-local-mode", "InterfaceNamePrefix", "--pod-interface-name-prefix",
                RoutedWiring.prefix,
            ]
        case .bridge, .cniBridge:
            [
                "--detect-local-mode", "BridgeInterface", "--pod-bridge-interface",
                BridgeWiring.bridge,
            ]
        case .flannelHostGateway, .cniPTP: ["--detect-local-mode", "NodeCIDR"]
        // An endpoint answers a pod directly, past the node that translated the connection,
        // unless the node is the client that it sees.
        case .macvlan, .ipvlanL2, .ipvlanL3, .ipvlanL3S:
            ["--masquerade-all", "--cluster-cidr", Self.clusterCIDRs]
        default: ["--cluster-cidr", Self.clusterCIDRs]
        }
    }

    static let clusterCIDRs = "\(Topology.clusterCIDR),\(Topology.clusterCIDR6)"

    /// Whether endpoints see pods of other nodes as the node that translated the connection.
    var masqueradesPods: Bool {
        [.macvlan, .ipvlanL2, .ipvlanL3, .ipvlanL3S].contains(self)
    }

    /// Whether endpoints on the client's way in may see the client with policy Cluster, too.
    ///
    /// Mode l3s hands packets for pods to them from the input hook, so postrouting does not
    /// masquerade them; it need not, since the answer comes back to the node in any case.
    var showsClients: Bool { self == .ipvlanL3S }

    /// Says why a check cannot pass on this network; nil if it can.
    func limit(of check: String, _ family: IPFamily, _ mode: ProxyMode) -> String? {
        switch (self, check) {
        case (.ipvlanL2, "strict reverse path filter"):
            "pods' packets to their gateway arrive on the uplink, and the route to pods is by another device"
        case (.vrf, "node → NodePort, Local, endpoint elsewhere")
        where family == .ipv4 && mode == .ipvs:
            "fib does not know the node's addresses in a VRF, and in mode ipvs nothing else tells its packets from those that IPVS forwards"
        case (.vrf, "pods told by BridgeInterface"), (.vrf, "pods told by InterfaceNamePrefix"):
            "the VRF is the input interface of what its interfaces receive, so endpoints see the node; ClusterCIDR and NodeCIDR tell pods"
        default: nil
        }
    }

    // MARK: What it needs

    /// Says what this machine lacks for it; nil if nothing.
    var lack: String? {
        switch self {
        case .flannelVXLAN, .flannelDirectRouting, .calicoVXLAN:
            Self.lack(of: "vxlan", device: "vxlan id 1 dstport 8472 nolearning")
        case .calicoIPIP: Self.lack(of: "ipip", device: "ipip local 192.0.2.1")
        case .macvlan: Self.lack(of: "macvlan", device: "macvlan")
        case .ipvlanL2: Self.lack(of: "ipvlan", device: "ipvlan mode l2")
        case .ipvlanL3: Self.lack(of: "ipvlan", device: "ipvlan mode l3")
        case .ipvlanL3S: Self.lack(of: "ipvlan", device: "ipvlan mode l3s")
        case .vrf: Self.lack(of: "vrf", device: "vrf table 1")
        case .wireguard:
            Self.lack(of: "wireguard", device: "wireguard")
                ?? (Self.hasProgram(WireGuardMesh.program)
                    ? nil : "wg is missing (package wireguard-tools)")
        case .flannelUDP:
            FileManager.default.fileExists(atPath: "/dev/net/tun")
                ? nil : "not on this kernel, which has no TUN (module tun)"
        case .calicoRouted, .calicoReflector:
            Self.hasProgram(BGPRoutes.program) ? nil : "BIRD is missing (package bird2)"
        case .cniBridge, .cniPTP:
            Self.hasProgram("\(CNIWiring.folder)/\(self == .cniPTP ? "ptp" : "bridge")")
                ? nil : "the plugins are missing (package containernetworking-plugins)"
        case .bridge, .flannelHostGateway: nil
        }
    }

    /// Tries to make a device in a namespace of its own.
    private static func lack(of module: String, device: String) -> String? {
        do {
            let trial = try NetworkNamespace()
            try trial.ip([
                "link add x1 type veth peer name x2", "link add x0 link x1 type \(device)",
            ])
            return nil
        } catch {
            return "not on this kernel, which has no such device (module \(module))"
        }
    }

    static func hasProgram(_ name: String) -> Bool {
        let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin"]
        let paths = name.hasPrefix("/") ? [name] : folders.map { "\($0)/\(name)" }
        return paths.contains { FileManager.default.isExecutableFile(atPath: $0) }
    }
}

extension VXLANOverlay {
    fileprivate func with(_ change: (inout Self) -> Void) -> Self {
        var copy = self
        change(&copy)
        return copy
    }
}
