import ArgumentParser
import MeshControl

struct Revisions: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the revisions of the control plane's objects, newest first.",
        discussion: """
            Examples:
              martlet revisions
              martlet revisions --limit 100 --output json
            """)

    @Option(help: ArgumentHelp("How many at most, from 1 to 1000.", valueName: "n"))
    var limit = 20

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...1000).contains(limit) else {
            throw ValidationError("--limit wants a number from 1 to 1000, not \(limit).")
        }
    }

    func run() throws {
        let revisions: [API.Revision] = try control.client().get("/v1/revisions", [("limit", "\(limit)")])
        switch output.output {
        case .json: printLine(try ControlText.json(revisions))
        case .text:
            let rows = revisions.map { revision in
                [
                    "\(revision.number)\(revision.isCurrent ? " *" : "")", ControlText.date(revision.time),
                    revision.author, objects(revision), revision.message,
                ]
            }
            printLine(
                ControlText.table(
                    ["REVISION", "TIME", "AUTHOR", "OBJECTS", "MESSAGE"], rows, empty: "there is no revision yet"))
        }
    }

    /// `+HTTPRoute shop/cart, ~Service shop/web`: what came, changed and went.
    private func objects(_ revision: API.Revision) -> String {
        let most = 3
        let signs = revision.objects.filter { $0.effect != .unchanged }.map { object in
            let sign =
                switch object.effect {
                case .created: "+"
                case .changed, .unchanged: "~"
                case .deleted: "-"
                }
            return sign + object.id.text
        }
        let rest = signs.count > most ? " and \(signs.count - most) more" : ""
        return signs.prefix(most).joined(separator: ", ") + rest
    }
}

struct Rollback: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make the objects what they were at a revision, as a new revision.",
        discussion: """
            Exit code: 0 done, 1 there is no such revision, or it is not valid any more, 2 it cannot be asked for.

            Examples:
              martlet rollback 41 --dry-run
              martlet rollback 41 --message 'v2 of cart is slow'
            """)

    @Argument(help: ArgumentHelp("A number that martlet revisions shows.", valueName: "revision"))
    var revision: Int

    @Flag(help: "Only say what would be done.")
    var dryRun = false

    @Option(name: .shortAndLong, help: ArgumentHelp("Why, for martlet revisions.", valueName: "text"))
    var message = ""

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let request = API.Rollback(revision: revision, dryRun: dryRun, message: message)
        let result: API.ChangeResult = try control.client().post("/v1/rollback", request)
        try ControlText.show(result, output.output)
    }
}
