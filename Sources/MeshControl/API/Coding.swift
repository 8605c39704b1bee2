import Foundation

extension API {
    /// JSON as the API writes it.
    public static func encoder(pretty: Bool = false) -> JSONEncoder {
        let encoder = JSONEncoder()
        encoder.dateEncodingStrategy = .iso8601
        encoder.outputFormatting =
            pretty ? [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted] : [.sortedKeys, .withoutEscapingSlashes]
        return encoder
    }

    /// JSON as the API reads it.
    public static func decoder() -> JSONDecoder {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        return decoder
    }

    /// The body of every response that is not a success (RFC 9457).
    public struct ProblemDocument: Codable, Sendable, Equatable {
        /// `urn:martlet:problem:` and the sort of problem.
        public var type: String
        /// The sort of problem, for people.
        public var title: String
        /// The response's status.
        public var status: Int
        /// What is wrong.
        public var detail: String
        /// What to do instead; may be empty.
        public var remedy: String
        /// What is wrong with the documents.
        public var diagnostics: [Diagnosis]?

        /// A problem of these parts.
        public init(
            type: String, title: String, status: Int, detail: String, remedy: String = "",
            diagnostics: [Diagnosis]? = nil
        ) {
            self.type = type
            self.title = title
            self.status = status
            self.detail = detail
            self.remedy = remedy
            self.diagnostics = diagnostics
        }
    }
}

// MARK: Requests

// Bodies of requests are read strictly: a field that is not known is refused, because a `dryrun` that is passed over
// would be a change that nobody wanted. What has a default may be left out.

/// A field by its name in JSON.
private struct FieldName: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

/// The fields of an object, of which all are known.
private struct Fields {
    private let container: KeyedDecodingContainer<FieldName>

    init(_ decoder: any Decoder, _ known: [String]) throws {
        container = try decoder.container(keyedBy: FieldName.self)
        guard let unknown = container.allKeys.map(\.stringValue).sorted().first(where: { !known.contains($0) }) else {
            return
        }
        let path = (decoder.codingPath.map(\.stringValue) + [unknown]).joined(separator: ".")
        throw API.Problem(
            .invalid, "unknown field \"\(path)\" in the body",
            remedy: "the fields there are \(known.joined(separator: ", "))")
    }

    func required<Value: Decodable>(_ name: String) throws -> Value {
        try container.decode(Value.self, forKey: FieldName(stringValue: name))
    }

    func optional<Value: Decodable>(_ name: String) throws -> Value? {
        try container.decodeIfPresent(Value.self, forKey: FieldName(stringValue: name))
    }
}

extension API.File {
    /// Strict.
    public init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder, ["name", "text"])
        self.init(name: try fields.optional("name") ?? "request", text: try fields.required("text"))
    }
}

/// What is sent to `/v1/diff`.
struct DiffRequest: Codable, Sendable, Equatable {
    var files: [API.File]

    init(files: [API.File]) { self.files = files }

    init(from decoder: any Decoder) throws {
        files = try Fields(decoder, ["files"]).required("files")
    }
}

extension API.Change {
    /// Strict.
    public init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder, ["files", "dryRun", "author", "message"])
        self.init(
            files: try fields.required("files"), dryRun: try fields.optional("dryRun") ?? false,
            author: try fields.optional("author") ?? "", message: try fields.optional("message") ?? "")
    }
}

extension API.Deletion {
    /// Strict.
    public init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder, ["objects", "dryRun", "author", "message"])
        self.init(
            objects: try fields.required("objects"), dryRun: try fields.optional("dryRun") ?? false,
            author: try fields.optional("author") ?? "", message: try fields.optional("message") ?? "")
    }
}

extension API.Rollback {
    /// Strict.
    public init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder, ["revision", "dryRun", "author", "message"])
        self.init(
            revision: try fields.required("revision"), dryRun: try fields.optional("dryRun") ?? false,
            author: try fields.optional("author") ?? "", message: try fields.optional("message") ?? "")
    }
}

extension API.TokenRequest {
    /// Strict.
    public init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder, ["role", "lifetimeSeconds", "uses", "author"])
        self.init(
            role: try fields.required("role"), lifetimeSeconds: try fields.optional("lifetimeSeconds") ?? 3600,
            uses: try fields.optional("uses") ?? 1, author: try fields.optional("author") ?? "")
    }
}

extension API.Revocation {
    /// Strict.
    public init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder, ["proxy", "serial", "reason", "author"])
        self.init(
            proxy: try fields.optional("proxy"), serial: try fields.optional("serial"),
            reason: try fields.optional("reason") ?? "", author: try fields.optional("author") ?? "")
    }
}

/// What is sent to `/v1/identity/rotation`.
struct RotationRequest: Codable, Sendable, Equatable {
    var step: API.RootRotation.Step

    init(step: API.RootRotation.Step) { self.step = step }

    init(from decoder: any Decoder) throws {
        step = try Fields(decoder, ["step"]).required("step")
    }
}

extension API {
    /// A value from the body of a request. What is wrong with it is told in the words of JSON, not of Swift.
    static func decode<Value: Decodable>(_ type: Value.Type, from body: [UInt8]) throws -> Value {
        do {
            return try decoder().decode(type, from: Data(body))
        } catch let error as DecodingError {
            throw Problem(.invalid, text(error))
        }
    }

    private static func text(_ error: DecodingError) -> String {
        func path(_ context: DecodingError.Context) -> String {
            let names = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }.joined()
            return names.hasPrefix(".") ? String(names.dropFirst()) : names
        }
        switch error {
        case .keyNotFound(let key, let context):
            let parent = path(context)
            return "the field \"\(parent.isEmpty ? "" : parent + ".")\(key.stringValue)\" is missing in the body"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return "the field \"\(path(context))\" in the body has the wrong type"
        case .dataCorrupted(let context):
            let field = path(context)
            return field.isEmpty
                ? "the body is not JSON" : "the field \"\(field)\" in the body has a value that is none"
        @unknown default:
            return "the body is not what it should be"
        }
    }
}
