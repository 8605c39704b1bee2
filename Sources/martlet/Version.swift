import ArgumentParser

struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the version.",
        discussion: """
            Example:
              martlet version
            """)

    /// The version of this build.
    static let number = "0.1.0"

    func run() { printLine("martlet \(Self.number)") }
}
