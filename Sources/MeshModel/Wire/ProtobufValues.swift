import MeshCore

/// What every conversion needs. Reading refuses what writing never produces: an absent message, a number that does
/// not fit, an alternative that this version does not know.
enum Protobuf {
    static func port(_ value: UInt32) throws(ProxyError) -> UInt16 {
        guard let port = UInt16(exactly: value) else {
            throw ProxyError("the compiled configuration is damaged: \(value) is no port")
        }
        return port
    }

    static func unknown(_ what: String) -> ProxyError {
        ProxyError("the compiled configuration has a \(what) that this version does not know")
    }

    static func origin(_ value: Origin?) -> ProtoOrigin? {
        guard let value else { return nil }
        var message = ProtoOrigin()
        message.file = value.file
        message.line = Int64(value.line)
        return message
    }

    static func hostname(_ text: String) throws(ProxyError) -> Hostname {
        guard let hostname = Hostname(text) else {
            throw ProxyError("the compiled configuration is damaged: '\(text)' is no hostname")
        }
        return hostname
    }

    static func hostnames(_ texts: [String]) throws(ProxyError) -> [Hostname] {
        var result: [Hostname] = []
        for text in texts { result.append(try hostname(text)) }
        return result
    }
}

extension Origin {
    init(protobuf: ProtoOrigin) { self.init(file: protobuf.file, line: Int(protobuf.line)) }
}

extension Duration {
    init(protobuf: ProtoDuration) {
        // A second of nanoseconds or more is never written, and would not fit beside the largest number of seconds.
        let nanoseconds = min(max(protobuf.nanos, -999_999_999), 999_999_999)
        self = .seconds(protobuf.seconds) + .nanoseconds(Int64(nanoseconds))
    }

    /// To the nanosecond; finer parts are lost.
    func protobuf() -> ProtoDuration {
        var message = ProtoDuration()
        message.seconds = components.seconds
        message.nanos = Int32(components.attoseconds / 1_000_000_000)
        return message
    }
}
