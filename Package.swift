// swift-tools-version: 6.2
import PackageDescription

/// Every target is held to the same rules: strict memory safety, and no warning survives.
let strict: [SwiftSetting] = [
    .strictMemorySafety(), .treatAllWarnings(as: .error),
    // Properties that return a `Span` need a lifetime (SE-0446, still behind this flag in Swift 6.3).
    .enableExperimentalFeature("Lifetimes"),
]

/// The data plane, release build only. Both flags are measured (docs/performance.md):
/// - cross-module optimisation: accessors across modules cost 37 ns without it, 11 ns with it;
/// - dynamic exclusivity checks are 13 % of user instructions. Debug builds, and with them all tests, keep them.
let dataPlane: [SwiftSetting] =
    strict + [
        .unsafeFlags(
            ["-cross-module-optimization", "-enforce-exclusivity=unchecked"], .when(configuration: .release))
    ]

let package = Package(
    name: "martlet",
    products: [
        .executable(name: "martlet-proxy", targets: ["martlet-proxy"]),
        .executable(name: "martlet", targets: ["martlet"]),
        // For the package in Fuzz.
        .library(
            name: "MartletParsers",
            targets: [
                "MeshCore", "MeshHTTP", "MeshHTTP2", "MeshNet", "MeshTLS", "MeshModel", "MeshGatewayAPI", "MeshTraffic",
            ]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // C, each with exactly one Swift importer.
        .systemLibrary(name: "CLinux"),
        .systemLibrary(name: "CNGHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CAres", pkgConfig: "libcares", providers: [.apt(["libc-ares-dev"])]),

        // Models.
        .target(name: "MeshCore", swiftSettings: dataPlane),
        .target(name: "MeshHTTP", dependencies: ["MeshCore"], swiftSettings: dataPlane),
        .target(
            name: "MeshModel",
            dependencies: ["MeshCore", .product(name: "SwiftProtobuf", package: "swift-protobuf")],
            swiftSettings: dataPlane),

        // Parts: they never import each other sideways.
        .target(name: "MeshNet", dependencies: ["MeshCore", "CLinux", "CAres"], swiftSettings: dataPlane),
        .target(name: "MeshHTTP2", dependencies: ["MeshCore", "MeshHTTP", "CNGHTTP2"], swiftSettings: dataPlane),
        .target(name: "MeshTLS", dependencies: ["MeshCore", "COpenSSL"], swiftSettings: dataPlane),
        .target(name: "MeshTraffic", dependencies: ["MeshCore", "MeshHTTP", "MeshModel"], swiftSettings: dataPlane),
        .target(name: "MeshTelemetry", dependencies: ["MeshCore", "MeshHTTP", "MeshModel"], swiftSettings: dataPlane),
        .target(
            name: "MeshGatewayAPI", dependencies: ["MeshCore", "MeshModel", .product(name: "Yams", package: "Yams")],
            swiftSettings: strict),

        // Assembly.
        .target(
            name: "MeshProxy",
            dependencies: [
                "MeshCore", "MeshNet", "MeshHTTP", "MeshHTTP2", "MeshTLS", "MeshModel", "MeshTraffic", "MeshTelemetry",
            ],
            swiftSettings: dataPlane),

        // Executables.
        .executableTarget(
            name: "martlet-proxy", dependencies: ["MeshCore", "MeshModel", "MeshNet", "MeshProxy"],
            swiftSettings: dataPlane),
        .executableTarget(
            name: "martlet",
            dependencies: [
                "MeshCore", "MeshNet", "MeshHTTP", "MeshTLS", "MeshModel", "MeshTraffic", "MeshTelemetry",
                "MeshGatewayAPI", "MeshProxy",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),

        // Tests mirror sources.
        .testTarget(name: "MeshCoreTests", dependencies: ["MeshCore"], swiftSettings: strict),
        .testTarget(name: "MeshHTTPTests", dependencies: ["MeshCore", "MeshHTTP"], swiftSettings: strict),
        .testTarget(
            name: "MeshHTTP2Tests", dependencies: ["MeshCore", "MeshHTTP", "MeshHTTP2"], swiftSettings: strict),
        .testTarget(name: "MeshModelTests", dependencies: ["MeshModel"], swiftSettings: strict),
        .testTarget(name: "MeshNetTests", dependencies: ["MeshCore", "MeshNet"], swiftSettings: strict),
        .testTarget(name: "MeshTLSTests", dependencies: ["MeshCore", "MeshTLS"], swiftSettings: strict),
        .testTarget(
            name: "MeshGatewayAPITests", dependencies: ["MeshCore", "MeshModel", "MeshGatewayAPI"],
            swiftSettings: strict),
        .testTarget(
            name: "MeshTrafficTests", dependencies: ["MeshCore", "MeshHTTP", "MeshModel", "MeshTraffic"],
            swiftSettings: strict),
        .testTarget(
            name: "MeshTelemetryTests", dependencies: ["MeshCore", "MeshHTTP", "MeshModel", "MeshTelemetry"],
            swiftSettings: strict),
        .testTarget(
            name: "MeshProxyTests",
            dependencies: [
                "MeshCore", "MeshHTTP", "MeshModel", "MeshNet", "MeshTLS", "MeshTraffic", "MeshTelemetry", "MeshProxy",
            ],
            swiftSettings: strict),
        // The fuzz targets' sources, which the package in Fuzz has too, and a replay of their corpus.
        .testTarget(
            name: "FuzzReplayTests",
            dependencies: [
                "MeshCore", "MeshHTTP", "MeshHTTP2", "MeshNet", "MeshTLS", "MeshModel", "MeshGatewayAPI", "MeshTraffic",
            ],
            path: "Fuzz",
            exclude: ["Package.swift", "README.md", "Dictionaries", "CFuzzer", "Driver", "Corpus", "Failures"],
            sources: ["Targets", "Replay"],
            swiftSettings: strict),
    ]
)
