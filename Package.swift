// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

/// Tests may be less strict about what their own imports are for: nothing imports them.
let testSettings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .treatAllWarnings(as: .error),
]

/// The floors of docs/architecture.md, as folders of Sources; `scripts/check-floors` knows their order.
enum Floor: String {
    case base = "Base"
    case kubernetes = "Kubernetes"
    case plan = "Plan"
    case kernel = "Kernel"
    case backends = "Backends"
    case reconciler = "Reconciler"
    case observe = "Observe"
    case daemon = "Daemon"
    case lab = "Lab"

    func path(_ target: String) -> String { "Sources/\(rawValue)/\(target)" }
}

/// A Swift target of this package.
func module(
    _ floor: Floor,
    _ name: String,
    _ dependencies: [Target.Dependency] = [],
    exclude: [String] = []
) -> Target {
    .target(
        name: name,
        dependencies: dependencies,
        path: floor.path(name),
        exclude: exclude,
        swiftSettings: settings
    )
}

// Without the symbols that only other programs could want, equal functions once, and relocations in
// eight times less space.
let smallerProgram: [LinkerSetting] = [
    .unsafeFlags(
        ["-use-ld=lld"]
            + ["--no-export-dynamic", "--icf=safe", "-z", "pack-relative-relocs"].flatMap {
                ["-Xlinker", $0]
            },
        .when(configuration: .release)
    )
]

func program(_ floor: Floor, _ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name,
        dependencies: dependencies,
        path: floor.path(name),
        swiftSettings: settings,
        linkerSettings: smallerProgram
    )
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(
        name: name,
        dependencies: dependencies + ["TestSupport"],
        swiftSettings: testSettings
    )
}

/// A C library found by pkg-config.
func cLibrary(_ name: String, _ pkgConfig: String, _ debianPackage: String) -> Target {
    .systemLibrary(
        name: name,
        path: Floor.base.path(name),
        pkgConfig: pkgConfig,
        providers: [.apt([debianPackage])]
    )
}

let argumentParser: Target.Dependency = .product(
    name: "ArgumentParser",
    package: "swift-argument-parser"
)
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let lifecycle: Target.Dependency = .product(
    name: "ServiceLifecycle",
    package: "swift-service-lifecycle"
)
let protobuf: Target.Dependency = .product(name: "SwiftProtobuf", package: "swift-protobuf")
let subprocess: Target.Dependency = .product(name: "Subprocess", package: "swift-subprocess")
let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let signals: Target.Dependency = .product(
    name: "UnixSignals",
    package: "swift-service-lifecycle"
)

let package = Package(
    name: "needletail",
    products: [
        .executable(name: "needletail", targets: ["needletail"]),
        .executable(name: "needletail-lab", targets: ["needletail-lab"]),
        // Tests preload it into the program.
        .library(name: "NetlinkFaults", type: .dynamic, targets: ["NetlinkFaults"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(
            url: "https://github.com/apple/swift-protobuf",
            from: "1.39.0",
            traits: []
        ),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(
            url: "https://github.com/swiftlang/swift-subprocess",
            from: "1.0.2",
            traits: []
        ),
    ],
    targets: [
        // Base
        cLibrary("CMnl", "libmnl", "libmnl-dev"),
        cLibrary("CNftnl", "libnftnl", "libnftnl-dev"),
        cLibrary("CCurl", "libcurl", "libcurl4-openssl-dev"),
        cLibrary("CYAML", "yaml-0.1", "libyaml-dev"),
        .target(name: "CNeedleShim", dependencies: ["CCurl"], path: Floor.base.path("CNeedleShim")),
        module(.base, "Containers"),
        module(.base, "NetworkTypes"),
        module(.base, "Threads"),
        module(.base, "YAML", ["CYAML"]),
        // Kubernetes
        module(.kubernetes, "KubernetesWire", [protobuf], exclude: ["wire.proto"]),
        module(.kubernetes, "KubernetesModel", ["NetworkTypes", "KubernetesWire"]),
        module(.kubernetes, "ManifestSource", ["KubernetesModel", "CNeedleShim", "YAML"]),
        module(
            .kubernetes,
            "KubernetesClient",
            [
                "NetworkTypes", "KubernetesWire", "KubernetesModel", "Threads", "CCurl",
                "CNeedleShim", "YAML", logging, protobuf, subprocess, system,
            ]
        ),
        // Plan
        module(.plan, "ServicePlan", ["NetworkTypes"]),
        module(
            .plan,
            "PlanCompiler",
            ["Containers", "NetworkTypes", "KubernetesModel", "ServicePlan"]
        ),
        // Kernel
        module(.kernel, "Netlink", ["NetworkTypes", "Threads", "CMnl", "CNeedleShim", logging]),
        // Backends
        module(.backends, "Backend", ["NetworkTypes", "ServicePlan"]),
        module(.backends, "NFTables", ["Containers", "NetworkTypes", "ServicePlan", "Backend"]),
        module(.backends, "IPVS", ["NetworkTypes", "ServicePlan", "Backend", "NFTables"]),
        module(.backends, "ModelKernel", ["NetworkTypes", "ServicePlan", "NFTables"]),
        module(
            .backends,
            "NFTablesKernel",
            [
                "NetworkTypes", "ServicePlan", "Backend", "NFTables", "ModelKernel", "Netlink",
                "CMnl", "CNftnl", "CNeedleShim", logging,
            ]
        ),
        module(
            .backends,
            "IPVSKernel",
            [
                "NetworkTypes", "ServicePlan", "Backend", "IPVS", "NFTables", "ModelKernel",
                "Netlink", "NFTablesKernel", "CMnl", logging,
            ]
        ),
        module(
            .backends,
            "KubeProxyLeftovers",
            ["NetworkTypes", "Backend", "NFTables", "Netlink", "NFTablesKernel", "CMnl", "CNftnl"]
        ),
        // Reconciler
        module(
            .reconciler,
            "Reconciler",
            [
                "Containers", "NetworkTypes", "KubernetesModel", "ServicePlan", "PlanCompiler",
                "Backend", "Threads", logging,
            ]
        ),
        // Observe
        module(
            .observe,
            "Journal",
            ["NetworkTypes", "KubernetesModel", "ServicePlan", "Backend", "Reconciler"]
        ),
        module(
            .observe,
            "Observability",
            [
                "NetworkTypes", "KubernetesModel", "ServicePlan", "Backend", "Reconciler",
                "Journal", "Threads", logging,
            ]
        ),
        // Daemon
        module(.daemon, "Configuration", ["NetworkTypes", "YAML"]),
        module(
            .daemon,
            "LocalhostForwarding",
            ["NetworkTypes", "ServicePlan", "Threads", "CNeedleShim", logging]
        ),
        program(
            .daemon,
            "needletail",
            [
                "NetworkTypes", "KubernetesModel", "ServicePlan", "PlanCompiler", "NFTables",
                "IPVS", "Netlink", "ManifestSource", "KubernetesClient", "NFTablesKernel",
                "IPVSKernel", "Backend", "KubeProxyLeftovers", "Reconciler", "Configuration",
                "Journal", "Observability", "LocalhostForwarding", "Threads", "CNeedleShim",
                argumentParser, logging, lifecycle, signals, subprocess, system,
            ]
        ),
        // Lab
        module(.lab, "NetworkNamespaces", ["CNeedleShim", "Threads"]),
        module(.lab, "EmbeddedAPIServer", ["KubernetesWire", "Threads", protobuf]),
        program(
            .lab,
            "needletail-lab",
            [
                "CNeedleShim", "NetworkTypes", "KubernetesModel", "ServicePlan", "PlanCompiler",
                "NFTables", "Netlink", "NFTablesKernel", "IPVSKernel", "Backend", "Reconciler",
                "NetworkNamespaces", "Threads", "KubernetesClient", "EmbeddedAPIServer", "YAML",
                argumentParser, logging,
            ]
        ),
        // Tests
        .target(
            name: "TestSupport",
            dependencies: [
                "NetworkTypes", "KubernetesModel", "ServicePlan", "PlanCompiler", "Backend",
                "Reconciler", "Threads",
            ],
            path: "Tests/TestSupport",
            swiftSettings: settings
        ),
        .target(
            name: "BinarySupport",
            dependencies: ["NetworkNamespaces", "Observability", "Threads"],
            path: "Tests/BinarySupport",
            swiftSettings: settings
        ),
        .target(name: "NetlinkFaults", path: "Tests/NetlinkFaults"),
        .target(
            name: "TamperingSupport",
            dependencies: ["BinarySupport", "NetworkNamespaces", "Threads"],
            path: "Tests/TamperingSupport",
            swiftSettings: testSettings
        ),
        .target(
            name: "ModelSupport",
            dependencies: [
                "NetworkTypes", "ServicePlan", "Backend", "NFTables", "ModelKernel", "TestSupport",
            ],
            path: "Tests/ModelSupport",
            swiftSettings: testSettings
        ),
        tests("ContainersTests", ["Containers"]),
        tests("NetworkTypesTests", ["NetworkTypes"]),
        tests("YAMLTests", ["YAML"]),
        tests(
            "KubernetesModelTests",
            ["NetworkTypes", "KubernetesWire", "KubernetesModel", protobuf]
        ),
        tests(
            "PlanCompilerTests",
            ["NetworkTypes", "KubernetesModel", "ServicePlan", "PlanCompiler"]
        ),
        tests(
            "NFTablesTests",
            [
                "NetworkTypes", "KubernetesModel", "ServicePlan", "PlanCompiler", "NFTables",
                "IPVS", "Backend", "ManifestSource",
            ]
        ),
        tests(
            "ModelKernelTests",
            ["NetworkTypes", "ServicePlan", "NFTables", "ModelKernel", "ModelSupport"]
        ),
        tests(
            "IPVSTests",
            ["NetworkTypes", "ServicePlan", "Backend", "NFTables", "IPVS", "ModelSupport"]
        ),
        tests("NetlinkBytesTests", ["NetworkTypes", "Netlink", "NFTablesKernel"]),
        tests("ManifestSourceTests", ["KubernetesModel", "ManifestSource"]),
        tests(
            "KubernetesClientTests",
            [
                "NetworkTypes", "KubernetesWire", "KubernetesModel", "KubernetesClient",
                "Reconciler", "EmbeddedAPIServer", "NetworkNamespaces", logging,
            ]
        ),
        tests(
            "ReconcilerTests",
            [
                "NetworkTypes", "KubernetesModel", "PlanCompiler", "ServicePlan", "Backend",
                "NFTables", "ModelKernel", "ModelSupport", "Reconciler", logging,
            ]
        ),
        tests("ConfigurationTests", ["Configuration"]),
        tests(
            "JournalTests",
            ["NetworkTypes", "KubernetesModel", "ServicePlan", "Backend", "Reconciler", "Journal"]
        ),
        tests(
            "ObservabilityTests",
            [
                "BinarySupport", "KubernetesModel", "NetworkTypes", "ServicePlan", "Backend",
                "Reconciler", "Journal", "Observability", "Threads", logging,
            ]
        ),
        tests(
            "LocalhostForwardingTests",
            [
                "BinarySupport", "NetworkNamespaces", "NetworkTypes", "ServicePlan",
                "LocalhostForwarding", "Threads", logging,
            ]
        ),
        tests(
            "KernelTests",
            [
                "NetworkTypes", "ServicePlan", "Backend", "NFTables", "Netlink", "NFTablesKernel",
                "KubeProxyLeftovers", "NetworkNamespaces", "ModelKernel", "ModelSupport",
                "Threads", logging,
            ]
        ),
        tests(
            "CommandTests",
            [
                "BinarySupport", "TamperingSupport", "EmbeddedAPIServer", "NetworkNamespaces",
                "NetworkTypes",
                "Threads", "Backend", "Reconciler", "Configuration", "KubernetesClient",
                "LocalhostForwarding",
                "Journal", "Observability", "PlanCompiler", "ServicePlan", "NFTables",
                "YAML", "NFTablesKernel", "ModelKernel", "ModelSupport", "needletail",
                "needletail-lab",
                logging,
            ]
        ),
    ]
)

// `make test-vm`: what only runs on the kernel of the virtual machine.
if Context.environment["NEEDLETAIL_VM"] != nil {
    package.targets.append(
        tests("VMTests", ["BinarySupport", "TamperingSupport", "NetworkNamespaces", "needletail"])
    )
}

// `make fuzz`: a program whose main function is libFuzzer's. The program itself is a library there, so
// that its readers of words and of answers can be called.
if Context.environment["NEEDLETAIL_FUZZ"] != nil,
    let program = package.targets.firstIndex(where: { $0.name == "needletail" })
{
    let main = ["-entry-point-function-name", "needletail_program_main"]
    package.targets[program] = .target(
        name: "needletail",
        dependencies: package.targets[program].dependencies,
        path: package.targets[program].path,
        swiftSettings: settings + [.unsafeFlags(main.flatMap { ["-Xfrontend", $0] })]
    )
    package.products = [.executable(name: "needletail-fuzz", targets: ["needletail-fuzz"])]
    package.targets.append(
        .executableTarget(
            name: "needletail-fuzz",
            dependencies: [
                "Configuration", "IPVS", "IPVSKernel", "KubeProxyLeftovers", "KubernetesClient",
                "KubernetesModel", "KubernetesWire", "ManifestSource", "NFTables",
                "NFTablesKernel", "NetworkTypes", "Netlink", "Observability", "ModelKernel",
                "Backend", "YAML",
                "needletail",
            ],
            path: "Fuzz",
            exclude: ["Corpus"],
            swiftSettings: [
                .swiftLanguageMode(.v6),
                .unsafeFlags(["-sanitize=fuzzer,address", "-parse-as-library"]),
            ],
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address"])]
        )
    )
}
