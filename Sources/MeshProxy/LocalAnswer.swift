import MeshCore
import MeshHTTP

/// Answers that the proxy makes itself: status, `x-martlet-reason`, and problem+json (RFC 9457).
enum LocalAnswer {
    /// Builds the answer for `reason` in `head` and writes it out.
    static func write(
        _ reason: Reason, into head: MessageHead, method: Method, close: Bool, output: inout OutputQueue
    ) {
        let status = reason.status == 0 ? 400 : reason.status
        let sentence = reason.sentence.replacingQuotes()
        let body = Array(
            "{\"type\":\"about:blank\",\"status\":\(status),\"reason\":\"\(reason.rawValue)\",\"detail\":\"\(sentence)\"}\n"
                .utf8)
        head.reset()
        head.status = status
        head.append(
            name: ("content-type" as StaticString).bytes, value: ("application/problem+json" as StaticString).bytes)
        head.append(name: ("content-length" as StaticString).bytes, value: Array(String(body.count).utf8).span)
        head.append(.xMartletReason, value: Array(reason.rawValue.utf8).span)
        var options = HTTP1Encoder.ResponseOptions()
        options.close = close
        HTTP1Encoder.response(head, options, into: &output)
        if method != .head { output.append(copying: body.span) }
    }
}

extension String {
    /// The text with quotation marks as JSON wants them.
    fileprivate func replacingQuotes() -> String {
        split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\\\"")
    }
}
