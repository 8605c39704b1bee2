internal import Hummingbird

/// One operation of the API: how it is asked for, who may, and what answers. The server and the OpenAPI document are
/// made of the same table of these, `Endpoint.all`.
struct Endpoint: Sendable {
    /// Who may ask.
    enum Access: Sendable {
        /// Everybody who reaches the port.
        case open
        /// Everybody on this machine; others with the admin token or an operator's certificate.
        case read
        /// With the admin token or an operator's certificate.
        case change
    }

    /// What comes back.
    enum Answer: Sendable {
        /// JSON of this schema, or an array of it.
        case json(schema: String, isList: Bool)
        /// Plain text.
        case text(String)
        /// Only a status.
        case nothing
    }

    /// A parameter in the query.
    struct Query: Sendable {
        var name: String
        var type: String
        var text: String
    }

    /// GET, POST or DELETE.
    var method: HTTPRequest.Method
    /// `/v1/objects/{kind}/{namespace}/{name}`.
    var path: String
    /// `operationId`: unique; also the label of its metrics.
    var operation: String
    /// What it does, in one line.
    var summary: String
    var access: Access
    var query: [Query] = []
    /// The schema of the body; nil: it has none.
    var body: String?
    var answer: Answer
    /// 200 or 201.
    var success: HTTPResponse.Status = .ok
    /// Statuses of problems, beside those of all.
    var problems: [HTTPResponse.Status] = []
    var handle: @Sendable (Call) async throws -> Reply

    /// The values of the path's parameters if it fits, in which `-` alone stands for nothing, as it does for a
    /// namespace that there is not.
    func parameters(_ segments: [String]) -> [String: String]? {
        let pattern = Self.segments(path)
        guard pattern.count == segments.count else { return nil }
        var result: [String: String] = [:]
        for (name, value) in zip(pattern, segments) {
            if name.hasPrefix("{") {
                guard !value.isEmpty else { return nil }
                result[String(name.dropFirst().dropLast())] = value == "-" ? "" : value
            } else if name != value {
                return nil
            }
        }
        return result
    }

    /// The parts of a path between slashes.
    static func segments(_ path: String) -> [String] {
        path.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    }
}

/// A request that may be served.
struct Call: Sendable {
    let operations: any ControlOperations
    let counters: APICounters
    let parameters: [String: String]
    let query: [String: String]
    let body: [UInt8]
    /// Who has proven who they are; empty: nobody had to.
    let caller: String

    func body<Value: Decodable>(as type: Value.Type) throws -> Value { try API.decode(type, from: body) }

    /// Who is to be named as the author, if the request says `author`.
    func author(_ author: String) -> String { author.isEmpty ? caller : author }

    func parameter(_ name: String) -> String { parameters[name] ?? "" }

    /// A whole number in the query; nil if it is not there.
    func number(_ name: String, in range: ClosedRange<Int>) throws -> Int? {
        guard let text = query[name] else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw API.Problem(
                .invalid, "\(name) in the query must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func flag(_ name: String) throws -> Bool {
        switch query[name] {
        case nil, "false": return false
        case "true", "": return true
        default: throw API.Problem(.invalid, "\(name) in the query must be true or false")
        }
    }

    var filter: API.ObjectFilter {
        API.ObjectFilter(kind: query["kind"], namespace: query["namespace"], name: query["name"])
    }

    var objectID: API.ObjectID {
        API.ObjectID(kind: parameter("kind"), namespace: parameter("namespace"), name: parameter("name"))
    }

    func proxyID() throws -> API.ProxyID {
        guard let kind = API.ProxyID.Kind(rawValue: parameter("kind")) else {
            throw API.Problem(
                .invalid, "\"\(parameter("kind"))\" is no kind of proxy", remedy: "write workload or gateway")
        }
        return API.ProxyID(
            kind: kind, namespace: parameter("namespace"), name: parameter("name"), instance: parameter("instance"))
    }
}

/// What an operation answers.
struct Reply: Sendable {
    var status: HTTPResponse.Status
    var type: String
    var bytes: [UInt8]

    static func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Reply {
        Reply(status: status, type: "application/json", bytes: Array(try API.encoder().encode(value)))
    }

    static func text(
        _ text: String, status: HTTPResponse.Status = .ok, type: String = "text/plain; charset=utf-8"
    ) -> Reply {
        Reply(status: status, type: type, bytes: Array(text.utf8))
    }

    static let nothing = Reply(status: .noContent, type: "", bytes: [])
}
