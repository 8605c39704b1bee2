import ArgumentParser
import Foundation
import MeshCore

struct Demo: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a whole mesh on this machine, and see what it does.",
        discussion: """
            Starts a control plane, a gateway and six small services in Node, Python and C, two instances each, every \
            instance with its sidecar and all hops in mutual TLS. Sends traffic through the gateway, prints who called \
            whom, kills an instance, stops and starts the control plane and replaces the root certificate meanwhile, and \
            ends everything again.
            Exit code: 0 no request failed and all was as it should be, 1 something was not, 2 it cannot run here.

            Examples:
              martlet demo
              martlet demo --stay
              martlet demo --dir /usr/local/share/martlet/shop --seconds 10
            """)

    @Option(help: ArgumentHelp("Where the demo's YAML and services are.", valueName: "dir"))
    var dir: String?

    @Option(help: ArgumentHelp("How long each part sends traffic.", valueName: "n"))
    var seconds = 3

    @Option(help: ArgumentHelp("The gateway's port; a free one if it is taken.", valueName: "n"))
    var port: UInt16 = 8080

    @Flag(help: "Keep everything up until Ctrl-C, with lines to copy into another terminal.")
    var stay = false

    func validate() throws {
        if !(1...600).contains(seconds) {
            throw ValidationError("--seconds wants a number from 1 to 600, not \(seconds).")
        }
    }

    func run() throws {
        let site = try DemoSite(source: try source(), gatewayPort: port)
        let demo = try DemoRun(site, seconds: seconds, stays: stay)
        demo.run()
        guard demo.failures == 0 else {
            printLine("what every process said: \(site.logs.path)")
            throw ExitCode(1)
        }
        try? FileManager.default.removeItem(at: site.work)
    }

    /// The directory that was named, or where a clone or an installation has it.
    private func source() throws -> URL {
        if let dir { return URL(fileURLWithPath: dir) }
        let own = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        let candidates = [
            URL(fileURLWithPath: "mesh-config/shop"),
            own.appendingPathComponent("../share/martlet/shop").standardizedFileURL,
            own.appendingPathComponent("../../../mesh-config/shop").standardizedFileURL,
        ]
        guard let found = candidates.first(where: { FileManager.default.fileExists(atPath: $0.path) }) else {
            throw Failure(
                message: "the demo's files are not here; say where with --dir (mesh-config/shop of the sources)")
        }
        return found
    }
}
