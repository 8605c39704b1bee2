import Foundation
internal import Hummingbird

/// The description of the API (OpenAPI 3.1), made of ``Endpoint/all`` and ``Schemas``: it cannot say other paths than
/// there are.
enum OpenAPIDocument {
    /// The document's text.
    static let json: String = {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(document)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }()

    /// Any JSON.
    indirect enum JSON: Encodable, Sendable, ExpressibleByStringLiteral, ExpressibleByDictionaryLiteral,
        ExpressibleByArrayLiteral
    {
        case text(String)
        case flag(Bool)
        case list([JSON])
        case object([String: JSON])

        init(stringLiteral value: String) { self = .text(value) }
        init(arrayLiteral elements: JSON...) { self = .list(elements) }
        init(dictionaryLiteral elements: (String, JSON)...) {
            self = .object(Dictionary(elements) { _, last in last })
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .text(let text): try container.encode(text)
            case .flag(let flag): try container.encode(flag)
            case .list(let list): try container.encode(list)
            case .object(let object): try container.encode(object)
            }
        }
    }

    private static let about = """
        What `martlet` asks of `martlet-control`. Reading is open to clients on the same machine; everything else needs \
        the admin token or, over TLS, an operator's certificate.
        """

    private static let document: JSON = {
        var paths: [String: [String: JSON]] = [:]
        for endpoint in Endpoint.all {
            paths[endpoint.path, default: [:]][endpoint.method.rawValue.lowercased()] = operation(endpoint)
        }
        var schemas: [String: JSON] = ["OpenAPI": ["type": "object", "description": "An OpenAPI document."]]
        for one in Schemas.all { schemas[one.name] = schema(one) }
        return [
            "openapi": "3.1.0",
            "info": [
                "title": "Martlet control plane", "version": "1",
                "description": .text(about),
            ],
            "servers": [["url": "http://127.0.0.1:15020"]],
            "paths": .object(paths.mapValues { .object($0) }),
            "components": [
                "schemas": .object(schemas),
                "securitySchemes": [
                    "token": [
                        "type": "http", "scheme": "bearer", "description": "The text of the file DATA/admin-token.",
                    ],
                    "certificate": [
                        "type": "mutualTLS",
                        "description": "A certificate of spiffe://TRUST-DOMAIN/ns/martlet/svc/operator.",
                    ],
                ],
            ],
        ]
    }()

    // MARK: Operations

    private static func operation(_ endpoint: Endpoint) -> JSON {
        var result: [String: JSON] = [
            "operationId": .text(endpoint.operation), "summary": .text(endpoint.summary),
            "responses": responses(endpoint),
        ]
        let parameters = pathParameters(endpoint) + endpoint.query.map(queryParameter)
        if !parameters.isEmpty { result["parameters"] = .list(parameters) }
        if let body = endpoint.body {
            result["requestBody"] = [
                "required": .flag(true), "content": ["application/json": ["schema": reference(body)]],
            ]
        }
        switch endpoint.access {
        case .open: result["security"] = []
        case .read: result["security"] = [[:], ["token": []], ["certificate": []]]
        case .change: result["security"] = [["token": []], ["certificate": []]]
        }
        return .object(result)
    }

    private static func pathParameters(_ endpoint: Endpoint) -> [JSON] {
        Endpoint.segments(endpoint.path).filter { $0.hasPrefix("{") }.map { segment in
            let name = String(segment.dropFirst().dropLast())
            var parameter: [String: JSON] = [
                "name": .text(name), "in": "path", "required": .flag(true), "schema": ["type": "string"],
            ]
            if name == "namespace" { parameter["description"] = "`-` for kinds that have none." }
            return .object(parameter)
        }
    }

    private static func queryParameter(_ query: Endpoint.Query) -> JSON {
        [
            "name": .text(query.name), "in": "query", "description": .text(query.text),
            "schema": ["type": .text(query.type)],
        ]
    }

    private static func responses(_ endpoint: Endpoint) -> JSON {
        var success: [String: JSON] = ["description": "Done."]
        switch endpoint.answer {
        case .json(let name, let isList):
            let schema = isList ? ["type": "array", "items": reference(name)] : reference(name)
            success["content"] = ["application/json": ["schema": schema]]
        case .text(let type): success["content"] = .object([type: ["schema": ["type": "string"]]])
        case .nothing: break
        }
        var result = [String(endpoint.success.code): JSON.object(success)]
        var problems = endpoint.problems
        if endpoint.body != nil || !endpoint.query.isEmpty || endpoint.path.contains("{") {
            problems.append(.badRequest)
        }
        if endpoint.body != nil { problems += [.contentTooLarge, .unsupportedMediaType] }
        switch endpoint.access {
        case .open: break
        case .read, .change: problems += [.unauthorized, .forbidden, .tooManyRequests]
        }
        for status in problems {
            result[String(status.code)] = [
                "description": .text(status.reasonPhrase),
                "content": ["application/problem+json": ["schema": reference("Problem")]],
            ]
        }
        return .object(result)
    }

    // MARK: Schemas

    private static func reference(_ name: String) -> JSON { ["$ref": .text("#/components/schemas/\(name)")] }

    private static func schema(_ schema: Schemas.Schema) -> JSON {
        let required = schema.fields.filter { !$0.isOptional }.map { JSON.text($0.name) }
        var result: [String: JSON] = [
            "type": "object", "description": .text(schema.text),
            "properties": .object(
                Dictionary(schema.fields.map { ($0.name, type($0.type)) }) { first, _ in first }),
        ]
        if !required.isEmpty { result["required"] = .list(required) }
        return .object(result)
    }

    private static func type(_ text: String) -> JSON {
        if text.hasSuffix("[]") { return ["type": "array", "items": type(String(text.dropLast(2)))] }
        if text.hasSuffix("{}") { return ["type": "object", "additionalProperties": type(String(text.dropLast(2)))] }
        if text.contains("/") {
            return ["type": "string", "enum": .list(text.split(separator: "/").map { .text(String($0)) })]
        }
        switch text {
        case "string", "integer", "number", "boolean": return ["type": .text(text)]
        case "date": return ["type": "string", "format": "date-time"]
        case "base64": return ["type": "string", "contentEncoding": "base64"]
        default: return reference(text)
        }
    }
}
