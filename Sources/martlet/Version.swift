import ArgumentParser
import MeshCore

struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the version.",
        discussion: """
            Example:
              martlet version
            """)

    func run() { printLine("martlet \(Release.version)") }
}
