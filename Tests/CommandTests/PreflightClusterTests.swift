import BinarySupport
import EmbeddedAPIServer
import FoundationEssentials
import NetworkNamespaces
import TestSupport
import Testing

@testable import needletail

/// Tests of what `preflight` says of a cluster and its API server.
@Suite(.timeLimit(.minutes(30))) struct PreflightClusterTests {
    private func describe(_ text: String) throws -> NodeDescription {
        try JSONDecoder().decode(NodeDescription.self, from: Data(text.utf8))
    }

    /// Parts of Node objects, as these clusters have them.
    @Test(arguments: [
        (
            Distribution.k3s,
            #"{"metadata": {}, "status": {"nodeInfo": {"kubeletVersion": "v1.33.1+k3s1", "osImage": "", "containerRuntimeVersion": ""}}}"#
        ),
        (
            .rke2,
            #"{"metadata": {}, "status": {"nodeInfo": {"kubeletVersion": "v1.33.1+rke2r1", "osImage": "", "containerRuntimeVersion": ""}}}"#
        ),
        (
            .k0s,
            #"{"metadata": {}, "status": {"nodeInfo": {"kubeletVersion": "v1.33.1+k0s", "osImage": "", "containerRuntimeVersion": ""}}}"#
        ),
        (
            .eks,
            #"{"metadata": {}, "status": {"nodeInfo": {"kubeletVersion": "v1.33.1-eks-113cf36", "osImage": "", "containerRuntimeVersion": ""}}}"#
        ),
        (
            .talos,
            #"{"metadata": {}, "status": {"nodeInfo": {"kubeletVersion": "v1.33.1", "osImage": "Talos (v1.10.3)", "containerRuntimeVersion": ""}}}"#
        ),
        (.aks, #"{"metadata": {"labels": {"kubernetes.azure.com/cluster": "c"}}}"#),
        (.kops, #"{"metadata": {"labels": {"kops.k8s.io/instancegroup": "nodes"}}}"#),
        (
            .minikube,
            #"{"metadata": {"labels": {"minikube.k8s.io/name": "m"}, "annotations": {"kubeadm.alpha.kubernetes.io/cri-socket": "s"}}}"#
        ),
        (
            .kind,
            #"{"metadata": {"annotations": {"kubeadm.alpha.kubernetes.io/cri-socket": "s"}}, "spec": {"providerID": "kind://docker/kind/kind-worker"}}"#
        ),
        (
            .clusterAPI,
            #"{"metadata": {"annotations": {"cluster.x-k8s.io/cluster-name": "c", "kubeadm.alpha.kubernetes.io/cri-socket": "s"}}}"#
        ),
        (
            .kubeadm,
            #"{"metadata": {"annotations": {"kubeadm.alpha.kubernetes.io/cri-socket": "s"}}}"#
        ),
    ])
    func `a node tells how its cluster was made`(expected: Distribution, node: String) throws {
        #expect(Distribution(try describe(node)) == expected)
    }

    @Test func `a node may not tell it`() throws {
        #expect(Distribution(try describe(#"{"metadata": {}}"#)) == nil)
    }

    @Test(arguments: Distribution.allCases)
    func `the commands are those of the page`(distribution: Distribution) throws {
        let page = try Fixture.text("../\(distribution.page)")
        let lines = Set(page.split(separator: "\n").map { $0.drop { $0 == " " } })
        #expect(!distribution.switchCommands.isEmpty)
        for command in distribution.switchCommands {
            #expect(lines.contains(command[...]), "\(distribution.page) has no line: \(command)")
        }
    }

    private func node(_ namespace: NetworkNamespace, _ address: String) throws -> (
        APIServer, String
    ) {
        let server = APIServer()
        try server.apply([
            "kind": "Node",
            "metadata": [
                "name": "here"
            ],
            "status": [
                "nodeInfo": [
                    "kubeletVersion": "v1.36.2+rke2r1", "osImage": "Debian GNU/Linux 12 (bookworm)",
                    "containerRuntimeVersion": "containerd://2.1.4",
                ]
            ],
        ])
        try server.apply([
            "kind": "ServiceCIDR", "metadata": ["name": "kubernetes"],
            "spec": ["cidrs": ["10.96.0.0/16"]],
        ])
        let listener = try namespace.inside { try server.listen(address) }
        listener.start()
        return (server, listener.url)
    }

    @Test(arguments: ["127.0.0.1", "10.96.0.1"])
    func `the next commands have what was found; a cluster IP leads to no API server`(
        address: String
    ) throws {
        let namespace = try NetworkNamespace()
        try namespace.ip(["link set lo up", "addr add 10.96.0.1/32 dev lo"])
        let (server, url) = try node(namespace, address)
        defer { server.stop() }
        let result = try Binary.run(
            [
                "preflight", "-o", "json", "--master", url, "--hostname-override", "here",
                "--cluster-cidr", "10.42.0.0/16,fd00:42::/56",
            ],
            in: namespace
        )
        let document = try PreflightDocument(result.output)
        #expect(
            document.findings.first?.text
                == "RKE2 (v1.36.2+rke2r1, Debian GNU/Linux 12 (bookworm), containerd://2.1.4): docs/install/rke2.md"
        )
        let port = url.split(separator: ":").last ?? ""
        #expect(
            document.next.contains {
                $0.hasSuffix(
                    "--set apiServer.host=\(address) --set apiServer.port=\(port) --set clusterCIDR=10.42.0.0/16\\,fd00:42::/56"
                )
            },
            "\(document.next)"
        )
        let problems = document.findings.filter { $0.level == "problem" }.map(\.text)
        #expect(
            problems.contains { $0.hasPrefix("10.96.0.1 is a cluster IP, ") }
                == (address == "10.96.0.1"),
            "\(problems)"
        )
    }
}
