import Foundation
import MeshNet

/// Where the demo is: its files, its ports, and the programs that it runs.
struct DemoSite {
    /// One instance of one workload, and how its application is started.
    struct Instance {
        var workload: String
        var name: String
        /// The application, but for its port, which takes the place of `PORT`.
        var command: [String]
    }

    /// What is read: YAML, and `services/`.
    let source: URL
    /// What is written; gone with the demo.
    let work: URL
    let python: String
    let ports: FreePorts
    let gatewayPort: UInt16
    let controlPort: UInt16
    let apiPort: UInt16

    var api: String { "http://127.0.0.1:\(apiPort)" }
    var url: String { "http://127.0.0.1:\(gatewayPort)" }
    var data: URL { work.appendingPathComponent("control") }
    var configuration: URL { work.appendingPathComponent("configuration") }
    var logs: URL { work.appendingPathComponent("logs") }
    var catalog: URL { work.appendingPathComponent("catalog") }

    /// Prepares a site in a new directory; throws ``Failure`` if something that it needs is not there.
    init(source: URL, gatewayPort wanted: UInt16) throws {
        self.source = source
        ports = FreePorts()
        work = FileManager.default.temporaryDirectory.appendingPathComponent(
            "martlet-demo-\(UUID().uuidString.prefix(8))")
        gatewayPort = try ports.isFree(wanted) ? wanted : ports.next()
        controlPort = try ports.next()
        apiPort = try ports.next()
        // Not in a standard form: that would follow the link, and lose the environment with it.
        let venv = source.appendingPathComponent("../../.venv/bin/python").path
        python = FileManager.default.isExecutableFile(atPath: venv) ? venv : try Self.find("python3")
        _ = try Self.find("node")
        for directory in [work, configuration, logs] {
            try FileManager.default.createDirectory(
                at: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        }
    }

    /// A program beside this one, or in the path.
    static func program(_ name: String) throws -> String {
        let own = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        let beside = own.appendingPathComponent(name).path
        return FileManager.default.isExecutableFile(atPath: beside) ? beside : try find(name)
    }

    static func find(_ program: String) throws -> String {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        for directory in path.split(separator: ":") {
            let candidate = "\(directory)/\(program)"
            if FileManager.default.isExecutableFile(atPath: candidate) { return candidate }
        }
        throw Failure(message: "\(program) is not installed; the demo's services need it: make setup")
    }

    /// Writes the configuration with this site's gateway port, and compiles the service in C.
    func prepare() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: source.path).filter { $0.hasSuffix(".yaml") }
        guard !names.isEmpty else {
            throw Failure(message: "\(source.path) has no YAML files; see martlet demo --help")
        }
        for name in names {
            let text = try String(contentsOf: source.appendingPathComponent(name), encoding: .utf8)
                .replacingOccurrences(of: "port: 8080", with: "port: \(gatewayPort)")
            try text.write(to: configuration.appendingPathComponent(name), atomically: true, encoding: .utf8)
        }
        let compiler = try (try? Self.find("cc")) ?? Self.find("clang")
        let catalogSource = source.appendingPathComponent("services/catalog.c").path
        guard try Self.succeeds(compiler, ["-O2", "-pthread", "-o", catalog.path, catalogSource]) else {
            throw Failure(message: "services/catalog.c does not compile")
        }
        guard try Self.succeeds(python, ["-c", "import grpc, grpc_tools"]) else {
            throw Failure(
                message: "\(python) has no gRPC, which two of the services need: pip install grpcio grpcio-tools")
        }
    }

    private static func succeeds(_ program: String, _ arguments: [String]) throws -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus == 0
    }

    /// Replaces `old`, which must be there, in a file of the configuration, as an editor does.
    func edit(_ name: String, _ old: String, _ new: String) throws {
        let file = configuration.appendingPathComponent(name)
        let text = try String(contentsOf: file, encoding: .utf8)
        guard text.contains(old) else { throw Failure(message: "\(name) has no \"\(old)\"") }
        try text.replacingOccurrences(of: old, with: new).write(to: file, atomically: true, encoding: .utf8)
    }

    /// Every instance, those that are called before those that call.
    var instances: [Instance] {
        let services = source.appendingPathComponent("services").path
        func node(_ name: String, _ callees: [String] = []) -> [String] {
            ["node", "\(services)/service.mjs", name, "PORT"] + callees
        }
        func two(_ workload: String, _ command: [String]) -> [Instance] {
            (1...2).map { Instance(workload: workload, name: "\(workload)-\($0)", command: command) }
        }
        let checkout = [python, "\(services)/service.py", "checkout", "PORT", "grpc:orders"]
        return two("catalog", [catalog.path, "PORT"])
            + [
                Instance(
                    workload: "cart-v1", name: "cart-v1-1", command: [python, "\(services)/service.py", "cart", "PORT"]),
                Instance(workload: "cart-v2", name: "cart-v2-1", command: node("cart")),
            ]
            + two("payments", node("payments")) + two("orders", [python, "\(services)/orders.py", "PORT"])
            + two("checkout", checkout) + two("web", node("web", ["catalog", "cart", "checkout"]))
    }

    /// What every answer must name.
    static let services = ["web", "catalog", "cart", "checkout", "orders", "payments"]
    /// `source → destination` of every hop.
    static let hops: Set<[String]> = [
        ["shop/edge", "shop/web"], ["shop/web", "shop/catalog"], ["shop/web", "shop/cart"],
        ["shop/web", "shop/checkout"],
        ["shop/checkout", "shop/orders"], ["shop/orders", "shop/payments"],
    ]
}
