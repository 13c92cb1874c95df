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

/// A Swift target of this package.
func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
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
    .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([debianPackage])])
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

// The levels of docs/architecture.md: no target imports a higher one.
let package = Package(
    name: "needletail",
    products: [
        .executable(name: "needletail", targets: ["needletail"]),
        .executable(name: "needletail-lab", targets: ["needletail-lab"]),
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
        // Level 0: pure values.
        module("NetworkTypes"),
        .target(
            name: "KubernetesWire",
            dependencies: [protobuf],
            exclude: ["wire.proto"],
            swiftSettings: settings
        ),
        module("KubernetesModel", ["NetworkTypes", "KubernetesWire"]),
        module("Threads"),
        // Level 1
        module("ServicePlan", ["NetworkTypes"]),
        // Level 2
        module("PlanCompiler", ["NetworkTypes", "KubernetesModel", "ServicePlan"]),
        module("Backend", ["NetworkTypes", "ServicePlan"]),
        module("NFTables", ["NetworkTypes", "ServicePlan", "Backend"]),
        module("IPVS", ["NetworkTypes", "ServicePlan", "Backend", "NFTables"]),
        // C
        cLibrary("CMnl", "libmnl", "libmnl-dev"),
        cLibrary("CNftnl", "libnftnl", "libnftnl-dev"),
        cLibrary("CCurl", "libcurl", "libcurl4-openssl-dev"),
        cLibrary("CYAML", "yaml-0.1", "libyaml-dev"),
        .target(name: "CNeedleShim", dependencies: ["CCurl"]),
        module("YAML", ["CYAML"]),
        // Level 3: what talks to the outside.
        module("Netlink", ["NetworkTypes", "CMnl", "CNeedleShim", logging]),
        module("ManifestSource", ["KubernetesModel", "CNeedleShim", "YAML"]),
        module("Configuration", ["NetworkTypes", "YAML"]),
        module(
            "KubernetesClient",
            [
                "NetworkTypes", "KubernetesWire", "KubernetesModel", "Threads", "CCurl",
                "CNeedleShim", "YAML", logging, protobuf, subprocess, system,
            ]
        ),
        module(
            "LocalhostForwarding",
            ["NetworkTypes", "ServicePlan", "Threads", "CNeedleShim", logging]
        ),
        // For the lab and the tests.
        module("EmbeddedAPIServer", ["KubernetesWire", "Threads", protobuf]),
        module("NetworkNamespaces", ["CNeedleShim", "Threads"]),
        // Level 4
        module(
            "NFTablesKernel",
            [
                "NetworkTypes", "ServicePlan", "Backend", "NFTables", "Netlink", "CMnl",
                "CNftnl", "CNeedleShim", logging,
            ]
        ),
        module(
            "IPVSKernel",
            [
                "NetworkTypes", "ServicePlan", "Backend", "IPVS", "NFTables", "Netlink",
                "NFTablesKernel", "CMnl", logging,
            ]
        ),
        module(
            "KubeProxyLeftovers",
            ["NetworkTypes", "Backend", "NFTables", "Netlink", "NFTablesKernel", "CMnl", "CNftnl"]
        ),
        module(
            "Reconciler",
            ["NetworkTypes", "KubernetesModel", "ServicePlan", "PlanCompiler", "Backend", logging]
        ),
        module(
            "Observability",
            [
                "NetworkTypes", "KubernetesModel", "ServicePlan", "Backend", "Reconciler",
                "Threads",
                logging,
            ]
        ),
        // Level 5
        .executableTarget(
            name: "needletail",
            dependencies: [
                "NetworkTypes", "KubernetesModel", "ServicePlan", "PlanCompiler", "NFTables",
                "IPVS", "Netlink", "ManifestSource", "KubernetesClient", "NFTablesKernel",
                "IPVSKernel", "Backend", "KubeProxyLeftovers", "Reconciler", "Configuration",
                "Observability",
                "LocalhostForwarding", "Threads", argumentParser, logging, lifecycle, signals,
            ],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "needletail-lab",
            dependencies: [
                "NetworkTypes", "KubernetesModel", "ServicePlan", "PlanCompiler", "NFTables",
                "Netlink", "NFTablesKernel", "IPVSKernel", "Backend", "Reconciler",
                "NetworkNamespaces",
                "KubernetesClient", "EmbeddedAPIServer", argumentParser, logging,
            ],
            swiftSettings: settings
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
            dependencies: ["NetworkNamespaces", "Threads"],
            path: "Tests/BinarySupport",
            swiftSettings: settings
        ),
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
        tests("IPVSTests", ["NetworkTypes", "ServicePlan", "Backend", "NFTables", "IPVS"]),
        tests("NetlinkBytesTests", ["NetworkTypes", "Netlink"]),
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
                "Reconciler", logging,
            ]
        ),
        tests("ConfigurationTests", ["Configuration"]),
        tests(
            "ObservabilityTests",
            [
                "BinarySupport", "NetworkTypes", "ServicePlan", "Backend", "Reconciler",
                "Observability", "Threads", logging,
            ]
        ),
        tests(
            "LocalhostForwardingTests",
            [
                "BinarySupport", "NetworkNamespaces", "NetworkTypes", "ServicePlan",
                "LocalhostForwarding", logging,
            ]
        ),
        tests(
            "KernelTests",
            [
                "NetworkTypes", "ServicePlan", "Backend", "NFTables", "Netlink", "NFTablesKernel",
                "KubeProxyLeftovers", "NetworkNamespaces", logging,
            ]
        ),
        tests(
            "CommandTests",
            [
                "BinarySupport", "EmbeddedAPIServer", "NetworkNamespaces", "NetworkTypes",
                "Threads",
                "Backend", "Reconciler", "Configuration", "KubernetesClient", "LocalhostForwarding",
                "Observability", "PlanCompiler", "needletail", "needletail-lab", logging,
            ]
        ),
    ]
)

// `make test-vm`: what only runs on the kernel of the virtual machine.
if Context.environment["NEEDLETAIL_VM"] != nil {
    package.targets.append(
        tests("VMTests", ["BinarySupport", "NetworkNamespaces", "needletail"])
    )
}

// `make fuzz`: a program whose main function is libFuzzer's.
if Context.environment["NEEDLETAIL_FUZZ"] != nil {
    package.products.append(.executable(name: "needletail-fuzz", targets: ["needletail-fuzz"]))
    package.targets.append(
        .executableTarget(
            name: "needletail-fuzz",
            dependencies: [
                "Configuration", "KubernetesClient", "KubernetesModel", "KubernetesWire",
                "ManifestSource", "NetworkTypes", "Netlink", "Observability",
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
