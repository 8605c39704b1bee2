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
        .executable(name: "martlet-control", targets: ["martlet-control"]),
        .executable(name: "martlet", targets: ["martlet"]),
        // For the package in Fuzz.
        .library(
            name: "MartletParsers",
            targets: [
                "MeshCore", "MeshHTTP", "MeshHTTP2", "MeshNet", "MeshTLS", "MeshModel", "MeshGatewayAPI", "MeshTraffic",
                "MeshDiscovery",
            ]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.1"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
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

        .target(
            name: "MeshDiscovery",
            dependencies: ["MeshCore", "MeshModel", .product(name: "SwiftProtobuf", package: "swift-protobuf")],
            swiftSettings: strict),

        .target(
            name: "MeshAuthority",
            dependencies: [
                "MeshCore", "MeshModel", .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "X509", package: "swift-certificates"),
            ],
            swiftSettings: strict),

        // Assembly.
        .target(
            name: "MeshProxy",
            dependencies: [
                "MeshCore", "MeshNet", "MeshHTTP", "MeshHTTP2", "MeshTLS", "MeshModel", "MeshTraffic", "MeshTelemetry",
                "MeshDiscovery", .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            swiftSettings: dataPlane),
        .target(
            name: "MeshControl",
            dependencies: [
                "MeshCore", "MeshNet", "MeshModel", "MeshGatewayAPI", "MeshDiscovery", "MeshAuthority",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCNIOTransportHTTP2", package: "grpc-swift-nio-transport"),
                .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "X509", package: "swift-certificates"),
            ],
            swiftSettings: strict),

        // Executables.
        .executableTarget(
            name: "martlet-proxy", dependencies: ["MeshCore", "MeshModel", "MeshNet", "MeshDiscovery", "MeshProxy"],
            swiftSettings: dataPlane),
        .executableTarget(
            name: "martlet-control",
            dependencies: [
                "MeshCore", "MeshNet", "MeshModel", "MeshControl",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "martlet",
            dependencies: [
                "MeshCore", "MeshNet", "MeshHTTP", "MeshTLS", "MeshModel", "MeshTraffic", "MeshTelemetry",
                "MeshGatewayAPI", "MeshProxy", "MeshDiscovery", "MeshAuthority", "MeshControl",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
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
                "MeshDiscovery", .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "MeshDiscoveryTests", dependencies: ["MeshCore", "MeshModel", "MeshDiscovery"],
            swiftSettings: strict),
        .testTarget(
            name: "MeshControlTests",
            dependencies: [
                "MeshCore", "MeshModel", "MeshGatewayAPI", "MeshDiscovery", "MeshAuthority", "MeshControl",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCNIOTransportHTTP2", package: "grpc-swift-nio-transport"),
                .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "X509", package: "swift-certificates"),
            ],
            swiftSettings: strict),
        // The fuzz targets' sources, which the package in Fuzz has too, and a replay of their corpus.
        .testTarget(
            name: "FuzzReplayTests",
            dependencies: [
                "MeshCore", "MeshHTTP", "MeshHTTP2", "MeshNet", "MeshTLS", "MeshModel", "MeshGatewayAPI", "MeshTraffic",
                "MeshDiscovery",
            ],
            path: "Fuzz",
            exclude: ["Package.swift", "README.md", "Dictionaries", "CFuzzer", "Driver", "Corpus", "Failures"],
            sources: ["Targets", "Replay"],
            swiftSettings: strict),
    ]
)
