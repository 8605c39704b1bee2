import ArgumentParser
import MeshCore
import MeshNet

// Before any other thread is there: signals are waited for, not handled.
Signals.hold()
Command.main()

struct Command: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet-control", abstract: "The control plane of a mesh.",
        version: "martlet-control \(Release.version)", subcommands: [Serve.self])
}
