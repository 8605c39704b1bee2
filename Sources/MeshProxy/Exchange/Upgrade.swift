import MeshCore
import MeshHTTP
import MeshTLS

/// A protocol change that the client asks for: the Upgrade field of HTTP/1.1 (RFC 9110 §7.8), or extended CONNECT of
/// HTTP/2 (RFC 8441), and how each is written as the other.
struct Upgrade {
    private enum Form { case none, field, connect }

    private var form = Form.none
    /// The protocol's name, in the request.
    private var token = ByteRange.empty
    /// `Sec-WebSocket-Key`, in the request; empty if there is none.
    private var key = ByteRange.empty
    private var isPrepared = false

    /// No change is asked for.
    static let none = Upgrade()

    private init() {}

    /// What `request` asks for. `h2c` is never honoured (RFC 9113 §3.1), nor an upgrade with a body.
    init(_ request: MessageHead) {
        if request.flags.contains(.extendedConnect) && request.bodyLength != .none {
            form = .connect
            token = request.protocolRange
        } else if request.flags.contains(.upgrade), request.bodyLength == .none,
            let index = request.firstIndex(of: .upgrade)
        {
            token = request[index].valueRange
            if Self.isHTTP2(request.span(token)) { return }
            form = .field
            if let index = request.firstIndex(of: .secWebsocketKey) { key = request[index].valueRange }
        }
    }

    private static func isHTTP2(_ token: Span<UInt8>) -> Bool { TokenList.contains(token, "h2c") }

    /// True if the endpoint may agree to a tunnel.
    var isWanted: Bool { form != .none }

    /// True if an HTTP/1.1 client asks by the Upgrade field.
    var isField: Bool { form == .field }

    /// True if a 2xx would tell the client that there is a tunnel (RFC 9113 §8.5).
    var isConnect: Bool { form == .connect }

    /// Makes the request one for HTTP/1.1; returns the value of its Upgrade field, nil without an upgrade.
    mutating func prepareHTTP1(_ request: MessageHead, _ worker: Worker) -> ByteRange? {
        switch form {
        case .none: return nil
        case .field: break
        case .connect where !isPrepared:
            isPrepared = true
            request.method = .get
            request.methodRange = request.store(("GET" as StaticString).bytes)
            request.flags.remove(.extendedConnect)
            request.bodyLength = .none
            if request.span(token).equalsIgnoringCase("websocket") {
                var nonce: [UInt8] = []
                for _ in 0..<2 {
                    let word = worker.random.next()
                    for shift in 0..<8 { nonce.append(UInt8(truncatingIfNeeded: word >> UInt64(8 * shift))) }
                }
                request.append(.secWebsocketKey, value: Base64.encode(nonce).span)
            }
        case .connect: break
        }
        return token
    }

    /// Makes the request one for HTTP/2.
    mutating func prepareHTTP2(_ request: MessageHead) {
        guard form == .field, !isPrepared else { return }
        isPrepared = true
        request.method = .connect
        request.methodRange = request.store(("CONNECT" as StaticString).bytes)
        request.protocolRange = token
        request.flags.insert(.extendedConnect)
        request.removeAll(.secWebsocketKey)
    }

    /// Makes the endpoint's agreement one for the client.
    func complete(request: MessageHead, response: MessageHead) {
        switch form {
        case .none: break
        case .field: completeField(request, response)
        case .connect:
            response.removeHopByHop()
            response.removeAll(.secWebsocketAccept)
            response.removeAll(.contentLength)
            response.status = 200
            response.bodyLength = .unknown
        }
    }

    private func completeField(_ request: MessageHead, _ response: MessageHead) {
        let agreed = response.firstIndex(of: .upgrade).map { response[$0].valueRange }
        response.removeHopByHop()
        response.append(.connection, value: ("upgrade" as StaticString).bytes)
        if let agreed {
            response.append(.upgrade, value: agreed)
        } else {
            response.append(.upgrade, value: request.span(token))
        }
        if response.status != 101, !key.isEmpty {
            // RFC 6455 §4.2.2: what a server says to prove that it has understood.
            let magic: StaticString = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            var text: [UInt8] = []
            let given = request.span(key)
            for index in 0..<given.count { text.append(given[index]) }
            for index in 0..<magic.utf8CodeUnitCount { text.append(magic.bytes[index]) }
            response.append(.secWebsocketAccept, value: Base64.encode(Digest.sha1(text)).span)
        }
        response.status = 101
        response.bodyLength = .none
    }
}
