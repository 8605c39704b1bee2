import MeshCore
import MeshHTTP

extension AccessLogFormat {
    /// Appends the line of `record`; `names` is the loop's, which knows the names behind the record's slots.
    public func append(_ record: borrowing ExchangeRecord, names: LoopMetrics, to log: inout LogBuffer) {
        switch form {
        case .off: return
        case .json:
            guard log.admitsLine() else { return }
            for field in LogField.allCases {
                log.bytes.put(field.key)
                LogLine.append(field, .json, record, names, to: &log.bytes)
            }
            log.bytes.append(UInt8(ascii: "}"))
        case .text(let parts):
            guard log.admitsLine() else { return }
            for part in parts {
                switch part {
                case .literal(let text): log.bytes.append(contentsOf: text)
                case .field(let field, let style): LogLine.append(field, style, record, names, to: &log.bytes)
                case .requestHeader(let name, let style):
                    LogLine.append(header: name.span, of: record.request, style, to: &log.bytes)
                case .responseHeader(let name, let style):
                    LogLine.append(header: name.span, of: record.response, style, to: &log.bytes)
                }
            }
        }
        log.bytes.append(UInt8(ascii: "\n"))
    }
}

/// Writes the single values of a line.
enum LogLine {
    static func append(
        _ field: LogField, _ style: LogStyle, _ record: borrowing ExchangeRecord, _ names: LoopMetrics,
        to line: inout [UInt8]
    ) {
        switch field {
        case .time: append(quoted: style, to: &line) { $0.put(time: record.wallTime) }
        case .listener:
            append(text: names.listenerName(record.slot, record.listener).span, style, to: &line)
        case .route: append(text: names.routeName(record.slot).span, style, to: &line)
        case .backend: append(text: names.backendName(record.slot).span, style, to: &line)
        case .endpoint: append(text: record.endpoint.span, style, to: &line)
        case .client: append(text: record.client.span, style, to: &line)
        case .peer, .tls, .sni: append(tls: field, style, record.tls, to: &line)
        case .method, .host, .path: append(head: field, style, record, to: &line)
        case .protocol: append(quoted: style, to: &line) { $0.put(protocolName(record.version)) }
        case .status: line.put(decimal: record.status)
        case .reason:
            if let reason = record.reason {
                append(quoted: style, to: &line) { $0.append(contentsOf: reason.rawValue.utf8) }
            } else {
                append(absent: style, to: &line)
            }
        case .policy: append(text: record.policy.span, style, to: &line)
        case .grpcStatus:
            if record.grpcStatus < 0 {
                append(absent: style, to: &line)
            } else {
                line.put(decimal: record.grpcStatus)
            }
        case .durationMs: line.put(milliseconds: record.ended.nanoseconds(since: record.started))
        case .upstreamConnectMs: append(milliseconds: record.upstreamConnect, style, to: &line)
        case .upstreamMs: append(milliseconds: record.upstreamFirstByte, style, to: &line)
        case .bytesReceived: line.put(decimal: record.requestBytes)
        case .bytesSent: line.put(decimal: record.responseBytes)
        case .attempts: line.put(decimal: record.attempts)
        case .cutOff: line.put(record.wasCutOff ? "true" : "false")
        case .requestID: append(header: HeaderName.xRequestID, of: record.request, style, to: &line)
        case .traceID: append(traceOf: record.request, style, to: &line)
        case .userAgent: append(header: HeaderName.userAgent, of: record.request, style, to: &line)
        case .referer: append(header: HeaderName.referer, of: record.request, style, to: &line)
        }
    }

    /// The first field called `name` of `head`.
    static func append(
        header name: Span<UInt8>, of head: Link<MessageHead>?, _ style: LogStyle, to line: inout [UInt8]
    ) {
        guard let head else { return append(absent: style, to: &line) }
        head { append(headerAt: $0.firstIndex(named: name), of: $0, style, to: &line) }
    }

    private static func append(
        header name: HeaderName, of head: Link<MessageHead>?, _ style: LogStyle, to line: inout [UInt8]
    ) {
        guard let head else { return append(absent: style, to: &line) }
        head { append(headerAt: $0.firstIndex(of: name), of: $0, style, to: &line) }
    }

    private static func append(
        headerAt index: Int?, of head: MessageHead, _ style: LogStyle, to line: inout [UInt8]
    ) {
        guard let index else { return append(absent: style, to: &line) }
        append(redacting: head.span(head[index].valueRange), style, to: &line)
    }

    private static func append(
        head field: LogField, _ style: LogStyle, _ record: borrowing ExchangeRecord, to line: inout [UInt8]
    ) {
        guard let request = record.request else { return append(absent: style, to: &line) }
        let (path, authority) = (record.routedPath, record.routedAuthority)
        request { head in
            if field == .method {
                append(text: head.span(head.methodRange), style, to: &line)
            } else if field == .host {
                append(text: head.span(authority.isEmpty ? head.authorityRange : authority), style, to: &line)
            } else {
                let range = path.isEmpty ? head.pathRange : path
                if range.isEmpty { return append(absent: style, to: &line) }
                append(redacting: head.span(range), style, to: &line)
            }
        }
    }

    private static func append(
        tls field: LogField, _ style: LogStyle, _ facts: Link<TLSFacts>?, to line: inout [UInt8]
    ) {
        guard let facts else { return append(absent: style, to: &line) }
        facts { facts in
            if field == .tls {
                append(text: facts.version.text.bytes, style, to: &line)
            } else {
                let text = field == .sni ? facts.serverName : facts.peer
                append(text: text.span, style, to: &line)
            }
        }
    }

    private static func append(traceOf head: Link<MessageHead>?, _ style: LogStyle, to line: inout [UInt8]) {
        guard let trace = head.flatMap({ $0 { TraceContext($0) } }) else { return append(absent: style, to: &line) }
        append(quoted: style, to: &line) {
            $0.put(hex: trace.traceHigh, digits: 16)
            $0.put(hex: trace.traceLow, digits: 16)
        }
    }

    private static func protocolName(_ version: Version?) -> StaticString {
        switch version {
        case .http10: "HTTP/1.0"
        case .http11: "HTTP/1.1"
        case .http2: "HTTP/2"
        case nil: "TCP"
        }
    }

    // MARK: Values

    private static func append(absent style: LogStyle, to line: inout [UInt8]) {
        line.put(style == .json ? "null" : "-")
    }

    /// Text of which nothing needs escaping.
    @inline(__always)
    private static func append(
        quoted style: LogStyle, to line: inout [UInt8], _ write: (inout [UInt8]) -> Void
    ) {
        if style == .json { line.append(UInt8(ascii: "\"")) }
        write(&line)
        if style == .json { line.append(UInt8(ascii: "\"")) }
    }

    /// A time that is absent if 0.
    private static func append(milliseconds nanoseconds: UInt64, _ style: LogStyle, to line: inout [UInt8]) {
        if nanoseconds == 0 { append(absent: style, to: &line) } else { line.put(milliseconds: nanoseconds) }
    }

    /// Text that is absent if empty.
    private static func append(text: Span<UInt8>, _ style: LogStyle, to line: inout [UInt8]) {
        if text.isEmpty { return append(absent: style, to: &line) }
        append(quoted: style, to: &line) { LogEscaping.append(text, style, to: &$0) }
    }

    /// Text of a client: cut to a length, without secrets. Empty is not absent, save that text needs a mark.
    private static func append(redacting text: Span<UInt8>, _ style: LogStyle, to line: inout [UInt8]) {
        if text.isEmpty && style != .json { return append(absent: style, to: &line) }
        let end = min(text.count, LogEscaping.maximumValue)
        append(quoted: style, to: &line) { line in
            var position = 0
            while let secret = Redaction.next(in: text, from: position), secret.lowerBound < end {
                LogEscaping.append(text.extracting(position..<secret.lowerBound), style, to: &line)
                line.put("***")
                position = min(secret.upperBound, end)
            }
            if position < end { LogEscaping.append(text.extracting(position..<end), style, to: &line) }
            if end < text.count { line.put("...") }
        }
    }
}
