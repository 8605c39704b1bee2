import MeshCore
import MeshHTTP

/// What an endpoint is asked over HTTP, and which answers mean that it is well.
struct HealthQuestion {
    private let path: String
    private let host: String
    private let statuses: [ClosedRange<Int>]
    /// The message of `grpc.health.v1.HealthCheckRequest` in its frame; nil: plain HTTP.
    let grpcBody: [UInt8]?

    /// `GET path`; no statuses: 200 to 299.
    init(path: String, host: String, statuses: [ClosedRange<Int>]) {
        self.path = path
        self.host = host
        self.statuses = statuses.isEmpty ? [200...299] : statuses
        grpcBody = nil
    }

    /// `grpc.health.v1.Health/Check` of a service (grpc/doc/health-checking.md).
    init(grpcService service: String, host: String) {
        path = "/grpc.health.v1.Health/Check"
        self.host = host
        statuses = [200...200]
        var message: [UInt8] = []
        if !service.isEmpty {
            // Field 1, length-delimited.
            message.append(0x0A)
            var length = service.utf8.count
            while length > 0x7F {
                message.append(UInt8(length & 0x7F) | 0x80)
                length >>= 7
            }
            message.append(UInt8(length))
            message += Array(service.utf8)
        }
        let count = UInt32(message.count)
        grpcBody = [0] + (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * $0)) } + message
    }

    /// The request's head.
    func write(_ head: MessageHead, isHTTP2: Bool) {
        head.reset()
        head.method = grpcBody == nil ? .get : .post
        head.methodRange = head.store((grpcBody == nil ? "GET" : "POST" as StaticString).bytes)
        head.pathRange = head.store(Array(path.utf8).span)
        head.authorityRange = head.store(Array(host.utf8).span)
        head.append(.userAgent, value: ("martlet-health" as StaticString).bytes)
        if let grpcBody {
            head.append(.contentType, value: ("application/grpc" as StaticString).bytes)
            // Without `te: trailers` grpc-core resets the stream.
            head.flags.insert(.trailersAccepted)
            head.bodyLength = .known(grpcBody.count)
        } else if !isHTTP2 {
            head.append(.connection, value: ("close" as StaticString).bytes)
        }
    }

    /// True if the answer means that the endpoint is well, and what it was, for people.
    func judge(_ head: MessageHead, body: [UInt8], trailers: MessageHead?) -> (isWell: Bool, detail: String) {
        let isWanted = statuses.contains { $0.contains(head.status) }
        guard grpcBody != nil else { return (isWanted, "status \(head.status)") }
        if !isWanted { return (false, "status \(head.status)") }
        let status = Self.grpcStatus(head) ?? trailers.flatMap(Self.grpcStatus)
        if let status, status != 0 { return (false, "grpc-status \(status)") }
        switch Self.serving(body) {
        case nil: return (false, "not a HealthCheckResponse")
        case 1: return (true, "SERVING")
        case 2: return (false, "NOT_SERVING")
        case 3: return (false, "SERVICE_UNKNOWN")
        case let other?: return (false, "serving status \(other)")
        }
    }

    private static func grpcStatus(_ head: MessageHead) -> Int? {
        head.firstIndex(of: .grpcStatus).flatMap { Grammar.decimal(head.span(head[$0].valueRange)) }
    }

    /// Field 1 of `HealthCheckResponse`, 0 if it is left out; nil if `body` is not one message of that shape.
    static func serving(_ body: [UInt8]) -> Int? {
        guard body.count >= 5, body[0] == 0 else { return nil }
        let length = body[1..<5].reduce(0) { $0 << 8 | Int($1) }
        guard body.count == 5 + length else { return nil }
        var rest = body[5...]
        var found = 0
        while let key = varint(&rest) {
            switch key & 7 {
            case 0:
                guard let value = varint(&rest) else { return nil }
                if key >> 3 == 1 { found = value }
            case 1: guard skip(8, &rest) else { return nil }
            case 2: guard let count = varint(&rest), skip(count, &rest) else { return nil }
            case 5: guard skip(4, &rest) else { return nil }
            default: return nil
            }
        }
        return rest.isEmpty ? found : nil
    }

    private static func skip(_ count: Int, _ bytes: inout ArraySlice<UInt8>) -> Bool {
        guard count >= 0, count <= bytes.count else { return false }
        bytes = bytes.dropFirst(count)
        return true
    }

    private static func varint(_ bytes: inout ArraySlice<UInt8>) -> Int? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        var rest = bytes
        while let byte = rest.popFirst(), shift < 64 {
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 {
                bytes = rest
                return Int(truncatingIfNeeded: value)
            }
            shift += 7
        }
        return nil
    }
}
