import ArgumentParser
import MeshControl

/// Which objects a command is about, as people write it.
struct ObjectSelection {
    var kind: String?
    var name: String?
    var namespace: String?

    /// Whether an object is one of those; kinds may be written in lower case and in the plural.
    func fits(_ id: API.ObjectID) -> Bool {
        (kind.map { Self.names($0.lowercased(), id.kind.lowercased()) } ?? true) && (name.map { $0 == id.name } ?? true)
            && (namespace.map { $0 == id.namespace } ?? true)
    }

    private static func names(_ word: String, _ kind: String) -> Bool {
        word == kind || word == kind + "s" || word == kind + "es"
            || (kind.hasSuffix("y") && word == kind.dropLast() + "ies")
    }

    /// What is said if there are none.
    var nothing: Failure {
        let what = [kind ?? "object", name].compactMap { $0 }.joined(separator: " ")
        let place = namespace.map { " in namespace \($0)" } ?? ""
        return Failure(message: "there is no \(what)\(place); martlet get lists what there is", code: 1)
    }
}

struct Get: ParsableCommand {
    /// How objects are printed.
    enum Form: String, ExpressibleByArgument, CaseIterable {
        case table, yaml, json, text
    }

    static let configuration = CommandConfiguration(
        abstract: "List the control plane's objects, or print them.",
        discussion: """
            Values of Secrets are never printed.
            Exit code: 0 printed, 1 there is no such object, 2 the control plane cannot be reached.

            Examples:
              martlet get
              martlet get HTTPRoute -n shop
              martlet get HTTPRoute cart -n shop -o yaml
            """)

    @Argument(help: ArgumentHelp("HTTPRoute, services, …", valueName: "kind"))
    var kind: String?

    @Argument(help: ArgumentHelp("One object.", valueName: "name"))
    var name: String?

    @Option(name: .shortAndLong, help: ArgumentHelp("Only this namespace.", valueName: "ns"))
    var namespace: String?

    @Option(name: .shortAndLong, help: "table, yaml or json.")
    var output: Form = .table

    @OptionGroup var control: ControlOptions

    func run() throws {
        let client = try control.client()
        let selection = ObjectSelection(kind: kind, name: name, namespace: namespace)
        let all: [API.Object] = try client.get("/v1/objects")
        let found = all.filter { selection.fits($0.id) }
        if found.isEmpty, name != nil { throw selection.nothing }
        switch output {
        case .table, .text: printLine(table(found))
        case .yaml:
            let texts = try full(found, client).map { $0.text ?? "" }
            printLine(texts.map { $0.hasSuffix("\n") ? String($0.dropLast()) : $0 }.joined(separator: "\n---\n"))
        case .json:
            // One object that was asked for is itself, everything else is a list.
            guard name != nil else { return printLine(try ControlText.json(found)) }
            let objects = try full(found, client)
            printLine(try objects.count == 1 ? ControlText.json(objects[0]) : ControlText.json(objects))
        }
    }

    private func full(_ objects: [API.Object], _ client: ControlClient) throws -> [API.Object] {
        try objects.map { object in
            let id = object.id
            return try client.get("/v1/objects" + ControlClient.path(id.kind, id.namespace, id.name))
        }
    }

    private func table(_ objects: [API.Object]) -> String {
        let rows = objects.map { object in
            [
                object.id.kind, object.id.namespace, object.id.name, "\(object.revision)",
                ControlText.age(object.changed), object.source,
            ]
        }
        return ControlText.table(
            ["KIND", "NAMESPACE", "NAME", "REVISION", "CHANGED", "SOURCE"], rows, empty: "there are no such objects")
    }
}

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say how objects are, and how far the proxies are that need them.",
        discussion: """
            PROXIES counts those that run the object as it is now, of those that need it.
            Exit code: 0 printed, 1 there is no such object, 2 the control plane cannot be reached.

            Examples:
              martlet status
              martlet status HTTPRoute cart -n shop
              martlet status --watch
            """)

    @Argument(help: ArgumentHelp("HTTPRoute, services, …", valueName: "kind"))
    var kind: String?

    @Argument(help: ArgumentHelp("One object: its proxies are listed too.", valueName: "name"))
    var name: String?

    @Option(name: .shortAndLong, help: ArgumentHelp("Only this namespace.", valueName: "ns"))
    var namespace: String?

    @OptionGroup var watch: WatchOptions
    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let client = try control.client()
        let selection = ObjectSelection(kind: kind, name: name, namespace: namespace)
        try watch.show {
            let all: [API.ObjectStatus] = try client.get("/v1/status")
            let found = all.filter { selection.fits($0.id) }
            if found.isEmpty, name != nil { throw selection.nothing }
            switch output.output {
            case .json: return try ControlText.json(found)
            case .text: return name == nil ? table(found) : table(found) + "\n\n" + deliveries(found)
            }
        }
    }

    private func table(_ statuses: [API.ObjectStatus]) -> String {
        var rows: [[String]] = []
        for status in statuses {
            let synced = status.proxies.count { $0.sync == .synced }
            let proxies = status.proxies.isEmpty ? "-" : "\(synced)/\(status.proxies.count)"
            let parts = status.parts.isEmpty ? [API.ObjectStatus.Part(part: "", conditions: [])] : status.parts
            for (index, part) in parts.enumerated() {
                var notes: [String] = []
                for condition in part.conditions where !condition.message.isEmpty {
                    if !notes.contains(condition.message) { notes.append(condition.message) }
                }
                if index == 0, let refusal = status.proxies.lazy.compactMap(\.rejection).first {
                    notes.append("refused: \(refusal.message)")
                }
                rows.append(
                    [status.id.text, part.part]
                        + ["Accepted", "ResolvedRefs", "Programmed"].map { cell(part, $0) }
                        + [index == 0 ? proxies : "", notes.joined(separator: "; ")])
            }
        }
        return ControlText.table(
            ["OBJECT", "PART", "ACCEPTED", "RESOLVEDREFS", "PROGRAMMED", "PROXIES", "NOTES"], rows,
            empty: "there are no such objects")
    }

    private func cell(_ part: API.ObjectStatus.Part, _ type: String) -> String {
        guard let condition = part.conditions.first(where: { $0.type == type }) else { return "-" }
        return condition.status ? "True" : "False \(condition.reason)"
    }

    private func deliveries(_ statuses: [API.ObjectStatus]) -> String {
        let rows = statuses.flatMap(\.proxies).map { delivery in
            [
                delivery.proxy.text, delivery.sync.rawValue, ControlText.age(delivery.since),
                String(delivery.desiredVersion.prefix(12)), String(delivery.ackedVersion.prefix(12)),
                delivery.rejection?.message ?? "",
            ]
        }
        return ControlText.table(
            ["PROXY", "SYNC", "SINCE", "DESIRED", "RUNS", "REFUSAL"], rows, empty: "no proxy needs it")
    }
}
