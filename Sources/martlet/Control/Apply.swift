import ArgumentParser
import MeshControl

struct Apply: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Give the control plane objects, all of them or none, as one revision.",
        discussion: """
            Exit code: 0 applied, 1 not valid (nothing was changed), 2 it cannot be read or sent.

            Examples:
              martlet apply -f mesh-config/shop
              martlet apply -f cart.yaml --dry-run
              martlet apply -f - --message 'half of the requests to v2' < route.yaml
            """)

    @Option(
        name: .shortAndLong, parsing: .singleValue,
        help: ArgumentHelp("A YAML file, a directory, or - for standard input; may be repeated.", valueName: "file"))
    var file: [String]

    @Flag(help: "Only say what would be done.")
    var dryRun = false

    @Option(name: .shortAndLong, help: ArgumentHelp("Why, for martlet revisions.", valueName: "text"))
    var message = ""

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let change = API.Change(files: try DocumentFiles.read(file), dryRun: dryRun, message: message)
        let result: API.ChangeResult = try control.client().post("/v1/apply", change)
        try ControlText.show(result, output.output)
    }
}

struct Delete: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Remove objects from the control plane, as one revision.",
        discussion: """
            Exit code: 0 removed, 1 there is no such object, or without it the rest is not valid, 2 wrong usage.

            Examples:
              martlet delete HTTPRoute cart -n shop
              martlet delete -f cart.yaml --dry-run
            """)

    @Argument(help: ArgumentHelp("HTTPRoute, Service, …", valueName: "kind"))
    var kind: String?

    @Argument(help: ArgumentHelp("Its name.", valueName: "name"))
    var name: String?

    @Option(name: .shortAndLong, help: ArgumentHelp("Its namespace; default if not said.", valueName: "ns"))
    var namespace: String?

    @Option(
        name: .shortAndLong, parsing: .singleValue,
        help: ArgumentHelp("The objects in this file or directory instead; may be repeated.", valueName: "file"))
    var file: [String] = []

    @Flag(help: "Only say what would be done.")
    var dryRun = false

    @Option(name: .shortAndLong, help: ArgumentHelp("Why, for martlet revisions.", valueName: "text"))
    var message = ""

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard file.isEmpty ? name != nil : kind == nil && namespace == nil else {
            throw ValidationError("Give KIND and NAME, or -f FILE.")
        }
    }

    func run() throws {
        let client = try control.client()
        let ids = file.isEmpty ? [try object(client)] : try DocumentFiles.objects(file)
        let deletion = API.Deletion(objects: ids, dryRun: dryRun, message: message)
        let result: API.ChangeResult = try client.post("/v1/delete", deletion)
        try ControlText.show(result, output.output)
    }

    /// The one object that was named; without a namespace it must be in `default`, or of a kind that has none.
    private func object(_ client: ControlClient) throws -> API.ObjectID {
        let selection = ObjectSelection(kind: kind, name: name, namespace: namespace)
        let all: [API.Object] = try client.get("/v1/objects")
        let found = all.map(\.id).filter(selection.fits)
        let here = namespace == nil ? found.filter { ["default", ""].contains($0.namespace) } : found
        if let id = here.first { return id }
        guard let other = found.first else { throw selection.nothing }
        throw Failure(
            message: "there is no \(other.kind) \(other.name) in namespace default; there is one in "
                + "\(other.namespace): write -n \(other.namespace)", code: 1)
    }
}

struct DiffCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Say what applying files would change, of objects and of every proxy.",
        discussion: """
            Nothing is changed. Secrets are not shown.
            Exit code: 0 valid, whether or not anything would change, 1 not valid, 2 it cannot be read or sent.

            Examples:
              martlet diff -f mesh-config/shop
              martlet diff -f cart.yaml --proxies
            """)

    @Option(
        name: .shortAndLong, parsing: .singleValue,
        help: ArgumentHelp("A YAML file, a directory, or - for standard input; may be repeated.", valueName: "file"))
    var file: [String]

    @Flag(help: "List what each proxy would receive.")
    var proxies = false

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    private struct Request: Encodable { var files: [API.File] }

    func run() throws {
        let diff: API.Diff = try control.client().post("/v1/diff", Request(files: try DocumentFiles.read(file)))
        switch output.output {
        case .json: printLine(try ControlText.json(diff))
        case .text:
            for diagnosis in diff.diagnostics { printError(diagnosis.text) }
            if diff.isValid { printLine(text(diff)) }
        }
        guard diff.isValid else { throw ExitCode(1) }
    }

    private func text(_ diff: API.Diff) -> String {
        var blocks: [String] = []
        for object in diff.objects where object.effect != .unchanged {
            var text = object.text
            while text.last == "\n" { text.removeLast() }
            blocks.append("\(object.id.text) \(object.effect.rawValue)" + (text.isEmpty ? "" : "\n\(text)"))
        }
        let same = diff.objects.count { $0.effect == .unchanged }
        if same > 0 { blocks.append("\(ControlText.count(same, "object")) unchanged") }
        let count = diff.proxies.count
        if proxies, count > 0 {
            let rows = diff.proxies.flatMap { proxy in
                proxy.resources.map {
                    [proxy.id.text + (proxy.isConnected ? "" : " (away)"), $0.effect.rawValue, $0.type, $0.name]
                }
            }
            blocks.append(ControlText.table(["PROXY", "EFFECT", "RESOURCE", "NAME"], rows, empty: ""))
        }
        let away = diff.proxies.count { !$0.isConnected }
        blocks.append(
            count == 0
                ? "no proxy would receive anything"
                : "\(count) \(count == 1 ? "proxy" : "proxies") would receive something"
                    + (away > 0 ? ", \(away) of them when they are back, because they are not connected" : "")
                    + (proxies ? "" : "; --proxies lists what"))
        return blocks.joined(separator: "\n\n")
    }
}
