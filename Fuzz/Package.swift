// swift-tools-version: 6.2
import PackageDescription

// Fuzzing of every parser of untrusted bytes with libFuzzer: `make fuzz`, or `scripts/fuzz SECONDS [TARGET…]`.
//
// A package of its own, so that the normal build has no part in it. What the targets do is in `Targets`, which the
// unit tests compile too, to replay `Corpus` and `Failures`. scripts/fuzz builds all modules with
// `-sanitize=fuzzer,address`: parsers must be instrumented for coverage to guide.

let strict: [SwiftSetting] = [
    .strictMemorySafety(), .treatAllWarnings(as: .error), .enableExperimentalFeature("Lifetimes"),
]

let package = Package(
    name: "fuzz",
    dependencies: [.package(name: "martlet", path: "..")],
    targets: [
        .systemLibrary(name: "CFuzzer", path: "CFuzzer"),
        .target(
            name: "FuzzTargets", dependencies: [.product(name: "MartletParsers", package: "martlet")],
            path: "Targets", swiftSettings: strict),
        .executableTarget(
            name: "fuzz", dependencies: ["CFuzzer", "FuzzTargets"], path: "Driver", swiftSettings: strict),
    ]
)
