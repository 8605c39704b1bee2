extension HeaderName {
    /// Fields that belong to one connection (RFC 9110 §7.6.1).
    @inlinable
    public var isHopByHop: Bool {
        switch self {
        case .connection, .keepAlive, .proxyConnection, .te, .transferEncoding, .upgrade, .http2Settings: true
        default: false
        }
    }

    /// Fields that a sender must not put into trailers: framing, routing, authentication, content description.
    public var isForbiddenInTrailers: Bool {
        switch self {
        case .host, .contentLength, .contentType, .contentEncoding, .expect, .trailer, .authorization,
            .proxyAuthorization, .cookie, .setCookie, .xForwardedFor, .xForwardedProto, .xForwardedHost,
            .xForwardedPort, .xForwardedClientCert, .forwarded, .xRequestID:
            true
        default: isHopByHop
        }
    }

    /// Fields that `Connection` may not nominate: dropping them would take framing, identity or a trace from a request.
    var isProtectedFromNomination: Bool {
        switch self {
        case .host, .contentLength, .contentType, .authorization, .cookie, .xForwardedFor, .xForwardedProto,
            .xForwardedHost, .xForwardedPort, .xForwardedClientCert, .forwarded, .xRequestID, .traceparent, .tracestate:
            true
        default: false
        }
    }
}

extension MessageHead {
    /// Deletes what belongs to the connection that the message came on: the fields of RFC 9110 §7.6.1 and those that
    /// `Connection` names. What they said stays in ``flags``.
    public func removeHopByHop() {
        var index = 0
        while index < fieldCount {
            let field = self[index]
            if field.name == .connection { removeNominated(by: field.valueRange) }
            if field.name.isHopByHop { remove(at: index) }
            index &+= 1
        }
    }

    private func removeNominated(by list: ByteRange) {
        var position = 0
        while let element = TokenList.next(span(list), &position) {
            let token = ByteRange(Int(list.offset) &+ Int(element.offset), element.count)
            var found = firstIndex(named: span(token))
            while let index = found {
                let name = self[index].name
                // Hop-by-hop fields go anyway, and the Connection fields still to come must be read first.
                if !name.isProtectedFromNomination && !name.isHopByHop { remove(at: index) }
                found = firstIndex(named: span(token), from: index &+ 1)
            }
        }
    }
}
