import MeshCore
import MeshHTTP
import MeshModel
import MeshTraffic

/// Answers that the proxy makes itself: status, `x-martlet-reason` and problem+json (RFC 9457); to a gRPC call the
/// status that gRPC libraries understand, in the head alone ("Trailers-Only", gRPC over HTTP2).
enum LocalAnswer {
    /// Builds the answer for `reason`; the body goes into `body`, which must be empty.
    static func write(
        _ reason: Reason, for request: MessageHead, into head: MessageHead, body: BodyPipe, pools: BufferPools
    ) {
        if request.flags.contains(.grpc) {
            body.reset()
            head.reset()
            return writeGRPC(reason, status: reason.grpcStatus, into: head)
        }
        write(
            reason, status: reason.status == 0 ? 400 : reason.status, for: request, into: head, body: body,
            pools: pools)
    }

    private static func write(
        _ reason: Reason, status: Int, for request: MessageHead, into head: MessageHead, body: BodyPipe,
        pools: BufferPools
    ) {
        body.reset()
        head.reset()
        head.status = status
        let text =
            "{\"type\":\"about:blank\",\"status\":\(head.status),\"reason\":\"\(reason.rawValue)\","
            + "\"detail\":\"\(reason.sentence.escapedQuotes)\"}\n"
        head.append(.xMartletReason, value: Array(reason.rawValue.utf8).span)
        if reason == .overloaded { head.append(.retryAfter, value: ("1" as StaticString).bytes) }
        if reason == .connectRefused {
            head.append(.allow, value: ("GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH" as StaticString).bytes)
        }
        fill(head, body, Array(text.utf8), type: "application/problem+json", request, pools)
    }

    /// Builds an answer that is no error.
    static func write(
        _ answer: AdminAnswer, for request: MessageHead, into head: MessageHead, body: BodyPipe, pools: BufferPools
    ) {
        body.reset()
        head.reset()
        head.status = answer.status
        head.append(name: ("cache-control" as StaticString).bytes, value: ("no-store" as StaticString).bytes)
        if answer.status == 405 { head.append(.allow, value: Array(answer.allowed.utf8).span) }
        fill(head, body, answer.body, type: answer.contentType, request, pools)
    }

    /// Builds the answer that a fault wants, in the words that the client reads: HTTP status or gRPC status.
    static func write(
        _ abort: Fault.Abort, for request: MessageHead, into head: MessageHead, body: BodyPipe, pools: BufferPools
    ) {
        let reason = Reason.faultInjected
        if request.flags.contains(.grpc) {
            body.reset()
            head.reset()
            return writeGRPC(reason, status: abort.grpcStatus, into: head)
        }
        write(reason, status: abort.httpStatus, for: request, into: head, body: body, pools: pools)
    }

    /// Adds what a client needs to know that was refused by a rate limit.
    static func add(_ refusal: RateLimiter.Refusal, to head: MessageHead) {
        func add(_ name: StaticString, _ value: Int) {
            head.append(name: name.bytes, value: Array(String(value).utf8).span)
        }
        add("ratelimit-limit", refusal.limit)
        add("ratelimit-remaining", refusal.remaining)
        add("ratelimit-reset", refusal.reset)
        add("retry-after", refusal.retryAfter)
    }

    private static func fill(
        _ head: MessageHead, _ body: BodyPipe, _ bytes: [UInt8], type: StaticString, _ request: MessageHead,
        _ pools: BufferPools
    ) {
        // RFC 9110 §15.3.5, §15.3.6, §15.4.5: no content, and none is expected. A fault may ask for such a status.
        if head.status == 204 || head.status == 205 || head.status == 304 { return }
        head.append(.contentType, value: type.bytes)
        head.append(.contentLength, value: Array(String(bytes.count).utf8).span)
        guard request.method != .head, !bytes.isEmpty else { return }
        head.bodyLength = .known(bytes.count)
        var start = 0
        while start < bytes.count {
            let end = min(start + pools.medium.capacity, bytes.count)
            body.append(Slice.copy(of: bytes.span.extracting(start..<end), in: pools.medium))
            start = end
        }
    }

    private static func writeGRPC(_ reason: Reason, status: Int, into head: MessageHead) {
        writeStatus(reason, status: status, into: head)
        head.status = 200
        head.append(.contentType, value: ("application/grpc" as StaticString).bytes)
        head.bodyLength = .none
    }

    /// Makes `head` the trailers that tell a gRPC client about `reason`.
    static func writeStatus(_ reason: Reason, into head: MessageHead) {
        writeStatus(reason, status: reason.grpcStatus, into: head)
    }

    private static func writeStatus(_ reason: Reason, status: Int, into head: MessageHead) {
        head.reset()
        head.append(.grpcStatus, value: Array(String(status).utf8).span)
        head.append(.grpcMessage, value: percentEncoded("\(reason.rawValue): \(reason.sentence)").span)
        head.append(.xMartletReason, value: Array(reason.rawValue.utf8).span)
    }

    /// As grpc-message wants it: everything but visible ASCII, and `%`, as `%XX`.
    private static func percentEncoded(_ text: String) -> [UInt8] {
        let digits = Array("0123456789ABCDEF".utf8)
        return text.utf8.flatMap { byte in
            (0x20...0x7E).contains(byte) && byte != UInt8(ascii: "%")
                ? [byte] : [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
}

extension Fault.Abort {
    /// For a client that reads HTTP statuses (google/rpc/code.proto).
    fileprivate var httpStatus: Int {
        switch self {
        case .status(let status): status
        case .grpcStatus(let status):
            switch status {
            case 0: 200
            case 1: 499
            case 3, 9, 11: 400
            case 4: 504
            case 5: 404
            case 6, 10: 409
            case 7: 403
            case 8: 429
            case 12: 501
            case 14: 503
            case 16: 401
            default: 500
            }
        }
    }

    /// For a client that reads gRPC statuses (grpc/doc/http-grpc-status-mapping.md).
    fileprivate var grpcStatus: Int {
        switch self {
        case .grpcStatus(let status): status
        case .status(let status):
            switch status {
            case 400: 13
            case 401: 16
            case 403: 7
            case 404: 12
            case 429, 502, 503, 504: 14
            default: 2
            }
        }
    }
}

extension String {
    /// The text with quotation marks as JSON wants them.
    fileprivate var escapedQuotes: String {
        split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\\\"")
    }
}

extension Method {
    /// Repeating the request asks for nothing more (RFC 9110 §9.2.2).
    var isIdempotent: Bool {
        switch self {
        case .get, .head, .put, .delete, .options, .trace: true
        case .post, .patch, .connect, .other: false
        }
    }
}
