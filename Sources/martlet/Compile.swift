import ArgumentParser
import Foundation
import MeshCore
import MeshGatewayAPI
import MeshModel

struct Compile: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a configuration in the compiled form that martlet-proxy --snapshot reads.",
        discussion: """
            The file holds private keys if the configuration does; only its owner can read it.
            Exit code: 0 written, 1 the configuration is not valid, 2 it cannot be read or written.

            Examples:
              martlet compile mesh-config -o edge.snapshot
              martlet compile mesh-config -o edge.snapshot && martlet-proxy --snapshot edge.snapshot
            """)

    @Argument(help: ArgumentHelp("A directory of YAML files, or one file.", valueName: "dir"))
    var directory: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The file to write.", valueName: "file"))
    var output: String

    func run() throws {
        let translation = try translation(of: directory)
        guard let model = translation.model else {
            printDiagnostics(translation, directory: directory, to: printError)
            throw ExitCode(1)
        }
        do throws(ProxyError) {
            try write(try model.encode())
        } catch {
            throw Failure(message: error.description)
        }
    }

    /// Replaces the file in one step; a reader sees the old one or the new one.
    private func write(_ bytes: [UInt8]) throws(ProxyError) {
        let temporary = output + ".\(ProcessInfo.processInfo.processIdentifier).tmp"
        let attributes: [FileAttributeKey: Any] = [.posixPermissions: 0o600]
        guard FileManager.default.createFile(atPath: temporary, contents: Data(bytes), attributes: attributes) else {
            throw ProxyError("\(output) cannot be written")
        }
        // SAFETY: both paths are copied for the call; the message is copied before anything else can replace it.
        guard unsafe rename(temporary, output) == 0 else {
            let reason = unsafe String(cString: strerror(errno))
            try? FileManager.default.removeItem(atPath: temporary)
            throw ProxyError("\(output) cannot be written: \(reason)")
        }
    }
}
