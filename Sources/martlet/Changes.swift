import MeshModel

/// What one model serves differently from another, for one line of text.
struct Changes {
    private var parts: [String] = []

    /// True if both serve the same; where things are written does not count, nor does the revision.
    var isEmpty: Bool { parts.isEmpty }

    /// `listeners +*:8443, routes ~shop/cart -shop/old`: what came, changed and went.
    var text: String { parts.isEmpty ? "nothing that is served" : parts.joined(separator: ", ") }

    init(from old: Model, to new: Model) {
        if old.settings != new.settings { parts.append("settings") }
        note("listeners", Self.listeners(old), Self.listeners(new))
        note("routes", Self.routes(old), Self.routes(new))
        note("backends", Self.backends(old), Self.backends(new))
        // Whatever the groups above do not see, such as another order of routes.
        if parts.isEmpty, Self.withoutOrigins(old) != Self.withoutOrigins(new) { parts.append("order") }
    }

    private static let most = 4

    private mutating func note<Value: Equatable>(_ what: String, _ old: [String: Value], _ new: [String: Value]) {
        var signs = new.keys.filter { old[$0] == nil }.sorted().map { "+\($0)" }
        signs += new.keys.filter { old[$0] != nil && old[$0] != new[$0] }.sorted().map { "~\($0)" }
        signs += old.keys.filter { new[$0] == nil }.sorted().map { "-\($0)" }
        guard !signs.isEmpty else { return }
        let rest = signs.count > Self.most ? " and \(signs.count - Self.most) more" : ""
        parts.append("\(what) \(signs.prefix(Self.most).joined(separator: " "))\(rest)")
    }

    // MARK: What is compared

    /// Sockets, with what they demand of clients but without routes.
    private static func listeners(_ model: Model) -> [String: Listener] {
        let all = withoutOrigins(model).listeners.map { listener -> (String, Listener) in
            var bare = listener
            for index in bare.sections.indices {
                bare.sections[index].routes = []
                bare.sections[index].streamRoutes = []
            }
            return (listener.address.description, bare)
        }
        return Dictionary(all) { first, _ in first }
    }

    private struct Attached: Equatable {
        var section: String
        var route: Route?
        var stream: StreamRoute?
    }

    /// Routes by name, each with every section that it is attached to.
    private static func routes(_ model: Model) -> [String: [Attached]] {
        var result: [String: [Attached]] = [:]
        for section in withoutOrigins(model).listeners.flatMap(\.sections) {
            for route in section.routes {
                result[route.name, default: []].append(Attached(section: section.name, route: route))
            }
            for route in section.streamRoutes {
                result[route.name, default: []].append(Attached(section: section.name, stream: route))
            }
        }
        return result
    }

    private static func backends(_ model: Model) -> [String: Backend] {
        Dictionary(withoutOrigins(model).backends.map { ($0.name, $0) }) { first, _ in first }
    }

    /// `model` as if it had been written nowhere: an edited comment moves every line below it.
    private static func withoutOrigins(_ model: Model) -> Model {
        var model = model
        model.revision = ""
        for listener in model.listeners.indices {
            model.listeners[listener].sections = model.listeners[listener].sections.map(\.withoutOrigins)
        }
        for backend in model.backends.indices { model.backends[backend].origin = nil }
        return model
    }
}
