import MeshCore
import MeshHTTP
import MeshModel

/// What the access log can say of an exchange, in the order of the JSON form. The raw value is the name in JSON and, in
/// braces, in text formats; docs/access-log.md says what each is.
enum LogField: String, CaseIterable, Sendable {
    case time, listener, route, backend, endpoint, client, peer, method, host, path
    case `protocol`, tls, sni, status, reason, policy
    case grpcStatus = "grpc_status"
    case durationMs = "duration_ms"
    case upstreamConnectMs = "upstream_connect_ms"
    case upstreamMs = "upstream_ms"
    case bytesReceived = "bytes_received"
    case bytesSent = "bytes_sent"
    case attempts
    case cutOff = "cut_off"
    case requestID = "request_id"
    case traceID = "trace_id"
    case userAgent = "user_agent"
    case referer

    /// What stands in front of the value in JSON.
    var key: StaticString {
        switch self {
        case .time: "{\"time\":"
        case .listener: ",\"listener\":"
        case .route: ",\"route\":"
        case .backend: ",\"backend\":"
        case .endpoint: ",\"endpoint\":"
        case .client: ",\"client\":"
        case .peer: ",\"peer\":"
        case .method: ",\"method\":"
        case .host: ",\"host\":"
        case .path: ",\"path\":"
        case .protocol: ",\"protocol\":"
        case .tls: ",\"tls\":"
        case .sni: ",\"sni\":"
        case .status: ",\"status\":"
        case .reason: ",\"reason\":"
        case .policy: ",\"policy\":"
        case .grpcStatus: ",\"grpc_status\":"
        case .durationMs: ",\"duration_ms\":"
        case .upstreamConnectMs: ",\"upstream_connect_ms\":"
        case .upstreamMs: ",\"upstream_ms\":"
        case .bytesReceived: ",\"bytes_received\":"
        case .bytesSent: ",\"bytes_sent\":"
        case .attempts: ",\"attempts\":"
        case .cutOff: ",\"cut_off\":"
        case .requestID: ",\"request_id\":"
        case .traceID: ",\"trace_id\":"
        case .userAgent: ",\"user_agent\":"
        case .referer: ",\"referer\":"
        }
    }
}

/// How a line of the access log looks: compiled once per configuration, shared by all loops.
///
/// A text format is literal text with names in braces, such as
/// `{client} "{method} {path}" {status} {duration_ms} "{request:User-Agent}"`; `{{` and `}}` are braces. What a format asks
/// for and is not there is `-` in text, `null` in JSON.
public struct AccessLogFormat: Sendable {
    enum Part: Sendable {
        case literal([UInt8])
        case field(LogField, LogStyle)
        case requestHeader([UInt8], LogStyle)
        case responseHeader([UInt8], LogStyle)
    }

    enum Form: Sendable {
        case off
        case json
        case text([Part])
    }

    let form: Form

    /// The form that `setting` asks for; a format that cannot be is an error that says what is wrong with it and what
    /// may have been meant.
    public init(_ setting: AccessLog) throws(ProxyError) {
        switch setting {
        case .off: form = .off
        case .json: form = .json
        case .text(let format): form = .text(try AccessLogParser.parts(of: format))
        }
    }

    /// True if nothing is logged, so that a record's log values need not be filled.
    public var isOff: Bool {
        switch form {
        case .off: true
        case .json, .text: false
        }
    }
}

/// Reads text formats.
enum AccessLogParser {
    static let maximumFormat = 4096

    static func parts(of format: String) throws(ProxyError) -> [AccessLogFormat.Part] {
        let bytes = Array(format.utf8)
        guard !bytes.isEmpty else { throw fault("it is empty; write a line of text with names in braces") }
        guard bytes.count <= maximumFormat else { throw fault("it is longer than \(maximumFormat) bytes") }
        guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
            throw fault("it has a control character; an exchange is one line, whose end is added")
        }
        var parts: [AccessLogFormat.Part] = []
        var literal: [UInt8] = []
        var isQuoted = false
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "{") where index < bytes.count && bytes[index] == UInt8(ascii: "{"),
                UInt8(ascii: "}") where index < bytes.count && bytes[index] == UInt8(ascii: "}"):
                literal.append(byte)
                index += 1
            case UInt8(ascii: "}"): throw fault("a \"}\" at byte \(index) closes nothing; write \"}}\" for a brace")
            case UInt8(ascii: "{"):
                guard let end = bytes[index...].firstIndex(of: UInt8(ascii: "}")) else {
                    throw fault("the \"{\" at byte \(index) is not closed; write \"{{\" for a brace")
                }
                if !literal.isEmpty { parts.append(.literal(literal)) }
                literal = []
                let name = String(decoding: bytes[index..<end], as: UTF8.self)
                parts.append(try part(name, isQuoted ? .quoted : .bare))
                index = end + 1
            default:
                if byte == UInt8(ascii: "\"") { isQuoted.toggle() }
                literal.append(byte)
            }
        }
        if !literal.isEmpty { parts.append(.literal(literal)) }
        return parts
    }

    private static func part(_ name: String, _ style: LogStyle) throws(ProxyError) -> AccessLogFormat.Part {
        if let field = LogField(rawValue: name) { return .field(field, style) }
        if let header = try header(name, "request:") { return .requestHeader(header, style) }
        if let header = try header(name, "response:") { return .responseHeader(header, style) }
        let known = LogField.allCases.map(\.rawValue) + ["request:NAME", "response:NAME"]
        if let closest = Nearest.name(to: name, in: known) {
            throw fault("there is no {\(name)}; did you mean {\(closest)}?")
        }
        throw fault("there is no {\(name)}; the names are \(known.joined(separator: ", "))")
    }

    private static func header(_ name: String, _ prefix: String) throws(ProxyError) -> [UInt8]? {
        guard name.hasPrefix(prefix) else { return nil }
        let header = String(name.dropFirst(prefix.count))
        let bytes = Array(header.utf8)
        guard Grammar.isToken(bytes.span) else { throw fault("{\(name)} is not the name of a header field") }
        guard !Redaction.refusedHeaders.contains(header.lowercased()) else {
            throw fault("{\(name)} would log secrets; \(header) is never logged")
        }
        return bytes
    }

    private static func fault(_ text: String) -> ProxyError { ProxyError("access log format: \(text)") }
}

/// The name that a person may have meant.
enum Nearest {
    /// The one of `known` with the fewest letters to change, if they are few; otherwise one that begins with `name`.
    static func name(to name: String, in known: [String]) -> String? {
        let wanted = Array(name.lowercased().utf8.prefix(64))
        let limit = wanted.count <= 4 ? 1 : wanted.count <= 8 ? 2 : 3
        var best: (name: String, distance: Int)?
        for candidate in known {
            let distance = distance(wanted, Array(candidate.utf8))
            if distance <= limit, distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        if best == nil && wanted.count >= 3 { return known.first { $0.hasPrefix(name.lowercased()) } }
        return best?.name
    }

    /// Insertions, deletions and replacements.
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var last = Array(0...right.count)
        for (row, byte) in left.enumerated() {
            var current = [row + 1]
            for (column, other) in right.enumerated() {
                current.append(
                    min(last[column + 1] + 1, current[column] + 1, last[column] + (byte == other ? 0 : 1)))
            }
            last = current
        }
        return last[right.count]
    }
}
