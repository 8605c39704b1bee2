import MeshCore
import MeshHTTP
import MeshModel
import MeshNet
import MeshTelemetry
import MeshTraffic

/// What a request must look like before anything is decided by it, by the role of its listener.
enum RequestRules {
    /// Normalises the path and drops what strangers may not send; the reason if the request is refused.
    static func apply(to request: MessageHead, _ origin: DownstreamOrigin) -> Reason? {
        if let reason = PathNormalizer.normalize(request, role: origin.role) { return reason }
        TraceContext.apply(TracePolicy(origin.role), to: request)
        switch origin.role {
        case .edge: dropUnderscores(request)
        case .sidecar: break
        }
        return nil
    }

    /// CGI and its heirs read `X_Y` and `X-Y` as one name: a client could say what only the proxy may say.
    private static func dropUnderscores(_ request: MessageHead) {
        var index = 0
        while index < request.fieldCount {
            if request[index].name == .other {
                let name = request.span(request[index].nameRange)
                var at = 0
                while at < name.count {
                    if name[at] == UInt8(ascii: "_") {
                        request.remove(at: index)
                        break
                    }
                    at &+= 1
                }
            }
            index &+= 1
        }
    }
}

/// The fields that tell an endpoint who asks.
enum ForwardedFields {
    /// Writes them. Edge: what the client says of itself is overwritten, unless `trustedHops` proxies in front are
    /// believed, one entry each. Sidecar: the client is added to what is there. In a mesh only mutual TLS says whose
    /// certificate it was.
    static func write(to request: MessageHead, _ origin: DownstreamOrigin, _ connection: Connection, _ worker: Worker) {
        request.removeHopByHop()
        let believed: Bool
        switch origin.role {
        case .edge:
            believed = origin.trustedHops > 0
            if !believed { for name in overwritten { request.removeAll(name) } }
        case .sidecar: believed = true
        }
        writeClientCertificate(to: request, origin, connection)
        writeClient(to: request, connection, keeping: !believed ? 0 : origin.role == .edge ? origin.trustedHops : .max)
        if !believed || request.firstIndex(of: .xForwardedProto) == nil {
            request.append(.xForwardedProto, value: (origin.isTLS ? "https" as StaticString : "http").bytes)
        }
        if !believed || request.firstIndex(of: .xForwardedHost) == nil {
            request.append(.xForwardedHost, value: request.authorityRange)
        }
        if request.firstIndex(of: .xRequestID) == nil {
            let (high, low) = (worker.random.next(), worker.random.next())
            unsafe request.append(.xRequestID, value: request.store(upTo: 32) { unsafe HexID.write(high, low, to: $0) })
        }
    }

    /// `x-forwarded-client-cert`: at a section for the mesh what mutual TLS has proven; what the client says of it goes.
    private static func writeClientCertificate(
        to request: MessageHead, _ origin: DownstreamOrigin, _ connection: Connection
    ) {
        guard origin.ownsClientCertificate else { return }
        request.removeAll(.xForwardedClientCert)
        guard origin.isOfMesh, origin.isTLS, let peer = connection.peerIdentity else { return }
        let forwarded = peer.forwarded
        request.append(.xForwardedClientCert, value: forwarded.span)
    }

    /// Who asks, once the fields are written: the peer, or behind proxies that are believed whom the first of them
    /// names.
    static func client(of request: MessageHead, _ origin: DownstreamOrigin, _ connection: Connection) -> SocketAddress {
        switch origin.role {
        case .sidecar: return connection.peer
        case .edge: if origin.trustedHops == 0 { return connection.peer }
        }
        guard let index = request.firstIndex(of: .xForwardedFor) else { return connection.peer }
        let field = request.span(request[index].valueRange)
        // Longer is no address.
        guard let entry = firstEntry(field), entry.count <= 64 else { return connection.peer }
        var text = ""
        var at = entry.lowerBound
        while at < entry.upperBound {
            // Interfaces of others mean nothing here.
            if field[at] == UInt8(ascii: "%") || field[at] >= 0x80 { return connection.peer }
            text.unicodeScalars.append(Unicode.Scalar(field[at]))
            at &+= 1
        }
        // Some proxies write the port too.
        let withPort = text.hasPrefix("unix:") ? nil : SocketAddress(text)
        return SocketAddress(ip: text, port: 0) ?? withPort ?? connection.peer
    }

    private static func firstEntry(_ field: Span<UInt8>) -> Range<Int>? {
        var start = 0
        while start < field.count, field[start] == 0x20 || field[start] == 0x09 { start &+= 1 }
        var end = start
        while end < field.count, field[end] != UInt8(ascii: ","), field[end] != 0x20 { end &+= 1 }
        return start < end ? start..<end : nil
    }

    private static let overwritten: [HeaderName] = [
        .xForwardedFor, .xForwardedProto, .xForwardedHost, .xForwardedPort, .forwarded, .xRealIp,
    ]

    /// `x-forwarded-for`: the last `keeping` entries of what is there, then the client.
    private static func writeClient(to request: MessageHead, _ connection: Connection, keeping: Int) {
        let given = keeping == 0 ? nil : request.firstIndex(of: .xForwardedFor).map { request[$0].valueRange }
        let kept = given.map { lastEntries(keeping, of: $0, in: request) } ?? .empty
        if keeping > 0 { request.removeAll(.xForwardedFor) }
        let value = unsafe request.store(upTo: kept.count &+ 2 &+ SocketAddress.hostLimit) { target in
            var count = 0
            if !kept.isEmpty {
                let text = request.span(kept)
                while count < text.count {
                    // SAFETY: room for the kept entries, a separator and an address, as asked for above.
                    unsafe target[count] = text[count]
                    count &+= 1
                }
                unsafe target[count] = UInt8(ascii: ",")
                unsafe target[count &+ 1] = UInt8(ascii: " ")
                count &+= 2
            }
            return unsafe count &+ connection.peer.writeHost(into: target + count)
        }
        request.append(.xForwardedFor, value: value)
    }

    private static func lastEntries(_ count: Int, of range: ByteRange, in request: MessageHead) -> ByteRange {
        let text = request.span(range)
        var left = count
        var start = text.count
        while start > 0 {
            if text[start &- 1] == UInt8(ascii: ",") {
                left &-= 1
                if left == 0 { break }
            }
            start &-= 1
        }
        while start < text.count, text[start] == 0x20 { start &+= 1 }
        return ByteRange(Int(range.offset) &+ start, text.count &- start)
    }
}

/// 128 random bits as 32 hexadecimal digits.
enum HexID {
    /// Writes the digits to `start`, which has room for them, and returns 32.
    static func write(_ high: UInt64, _ low: UInt64, to start: UnsafeMutablePointer<UInt8>) -> Int {
        var index = 0
        while index < 32 {
            let word = index < 16 ? high : low
            let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 &- 4 &* (index & 15)) & 15)
            // SAFETY: the caller gives room for 32 bytes.
            unsafe start[index] = digit < 10 ? 48 &+ digit : 87 &+ digit
            index &+= 1
        }
        return 32
    }
}
