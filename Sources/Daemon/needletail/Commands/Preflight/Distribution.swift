internal import FoundationEssentials

/// What a Node object says about itself, as far as it tells who has made the cluster.
struct NodeDescription: Decodable {
    struct Metadata: Decodable {
        var labels: [String: String]?
        var annotations: [String: String]?
    }
    struct Spec: Decodable { var providerID: String? }
    struct Status: Decodable {
        struct Info: Decodable {
            var kubeletVersion = ""
            var osImage = ""
            var containerRuntimeVersion = ""
        }
        var nodeInfo: Info?
    }

    var metadata: Metadata
    var spec: Spec?
    var status: Status?

    var info: Status.Info { status?.nodeInfo ?? Status.Info() }

    fileprivate func hasLabel(_ key: String) -> Bool { metadata.labels?[key] != nil }
    fileprivate func hasAnnotation(_ key: String) -> Bool { metadata.annotations?[key] != nil }
}

/// A way in which clusters are made, and how kube-proxy is left away there.
enum Distribution: String, CaseIterable {
    case k3s, rke2, k0s, talos, eks, aks, kind, minikube, kops
    case clusterAPI = "cluster-api"
    case kubeadm

    /// Finds out who has made the cluster; nil if the node does not tell.
    ///
    /// Versions have a suffix of those that build Kubernetes themselves (`v1.33.1+k3s1`,
    /// `v1.33.1-eks-113cf36`). What uses kubeadm inside comes before kubeadm.
    init?(_ node: NodeDescription) {
        let version = node.info.kubeletVersion
        let signs: [(Distribution, Bool)] = [
            (.k3s, version.contains("+k3s")),
            (.rke2, version.contains("+rke2")),
            (.k0s, version.contains("+k0s")),
            (.talos, node.info.osImage.hasPrefix("Talos")),
            (.eks, version.contains("-eks-")),
            (.aks, node.hasLabel("kubernetes.azure.com/cluster")),
            (.kind, node.spec?.providerID?.hasPrefix("kind://") == true),
            (.minikube, node.hasLabel("minikube.k8s.io/name")),
            (.kops, node.hasLabel("kops.k8s.io/instancegroup")),
            (.clusterAPI, node.hasAnnotation("cluster.x-k8s.io/cluster-name")),
            (.kubeadm, node.hasAnnotation("kubeadm.alpha.kubernetes.io/cri-socket")),
        ]
        guard let found = signs.first(where: \.1) else { return nil }
        self = found.0
    }

    var name: String {
        switch self {
        case .k3s, .k0s, .kind, .minikube, .kubeadm, .kops: rawValue
        case .rke2, .eks, .aks: rawValue.uppercased()
        case .talos: "Talos Linux"
        case .clusterAPI: "Cluster API"
        }
    }

    /// The page that has every step, and the way back.
    var page: String { "docs/install/\(rawValue).md" }

    /// Whether kube-proxy's DaemonSet stays and only its image changes, so that there is nothing to
    /// install.
    var keepsDaemonSet: Bool { [.kubeadm, .kind, .minikube].contains(self) }

    /// The commands that leave kube-proxy away, as the page has them.
    var switchCommands: [String] {
        switch self {
        case .kubeadm, .kind, .minikube:
            [
                "kubectl -n kube-system set image daemonset/kube-proxy kube-proxy=registry.example/needletail:\(Needletail.version)"
            ]
        case .k3s:
            [
                #"echo "disable-kube-proxy: true" >> /etc/rancher/k3s/config.yaml"#,
                "systemctl restart k3s              # on servers",
                "systemctl restart k3s-agent        # on agents, which have no such option of their own",
            ]
        case .rke2:
            [
                #"echo "disable-kube-proxy: true" >> /etc/rancher/rke2/config.yaml"#,
                "systemctl restart rke2-server      # on servers",
                "systemctl restart rke2-agent       # on agents",
            ]
        case .talos:
            [
                "talosctl -n 192.0.2.11,192.0.2.12,192.0.2.13 patch mc --mode=no-reboot --patch @proxy.yaml",
                "kubectl -n kube-system delete daemonset kube-proxy --ignore-not-found",
            ]
        case .k0s: ["kubectl -n kube-system delete daemonset kube-proxy --ignore-not-found"]
        case .kops:
            ["kops edit cluster --name CLUSTER", "kops update cluster --name CLUSTER --yes"]
        case .eks:
            [
                "aws eks delete-addon --cluster-name CLUSTER --addon-name kube-proxy      # managed: deletes its objects, too, without --preserve",
                "kubectl -n kube-system delete daemonset kube-proxy                       # self-managed",
            ]
        case .aks:
            [
                "az aks update --resource-group GROUP --name CLUSTER --kube-proxy-config kube-proxy.json"
            ]
        case .clusterAPI:
            [
                "kubectl --context management annotate kubeadmcontrolplane CLUSTER-control-plane controlplane.cluster.x-k8s.io/skip-kube-proxy=",
                "kubectl --context workload -n kube-system delete daemonset,configmap kube-proxy",
            ]
        }
    }
}
