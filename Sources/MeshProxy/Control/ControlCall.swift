import MeshCore
import MeshDiscovery
import MeshHTTP
import MeshHTTP2

/// How a call ended, in the status codes of gRPC.
struct CallEnd: Equatable {
    var code: Int
    var message: String

    static let ok = 0
    static let invalidArgument = 3
    static let alreadyExists = 6
    static let permissionDenied = 7
    static let failedPrecondition = 9
    static let unavailable = 14
    static let unauthenticated = 16

    /// `PERMISSION_DENIED: text`, for people.
    var description: String {
        let names = [
            "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
            "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
            "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
        ]
        let name = names.indices.contains(code) ? names[code] : "status \(code)"
        return message.isEmpty ? name : "\(name): \(message)"
    }
}

/// One gRPC call to the control plane: messages in, messages out, and an end.
final class ControlCall: HTTP2Stream {
    /// The methods that a proxy calls.
    enum Method {
        case join, sign, discovery, report

        var path: StaticString {
            switch self {
            case .join: "/martlet.v1.Identity/Join"
            case .sign: "/martlet.v1.Identity/Sign"
            case .discovery: "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
            case .report: "/martlet.v1.Reporting/Report"
            }
        }
    }

    let method: Method
    /// How the call ended; nil while it goes on.
    private(set) var end: CallEnd?
    private var frames = GRPCFrames(maxMessageBytes: 64 << 20)
    private var fault: String?
    private let session: Link<ControlSession>
    private let pools: Link<BufferPools>
    private let request = MessageHead()
    private let response = MessageHead()
    private let responseTrailers = MessageHead()
    private let sending: BodyPipe
    private let receiving: BodyPipe

    init(_ method: Method, session: ControlSession, pools: BufferPools) {
        self.method = method
        self.session = Link(session)
        self.pools = Link(pools)
        sending = BodyPipe(pools: pools)
        receiving = BodyPipe(pools: pools)
        super.init()
        head = Link(response)
        trailers = Link(responseTrailers)
        body = Link(receiving)
        outgoing = Link(sending)
    }

    /// Opens the stream; false if the connection takes none.
    func open(authority: String) -> Bool {
        request.method = .post
        request.methodRange = request.store(("POST" as StaticString).bytes)
        request.pathRange = request.store(method.path.bytes)
        request.authorityRange = request.store(Array(authority.utf8).span)
        request.append(.contentType, value: ("application/grpc" as StaticString).bytes)
        request.append(.userAgent, value: Array("martlet-proxy/\(Release.version)".utf8).span)
        // Without `te: trailers` grpc-core resets the stream.
        request.flags.insert(.trailersAccepted)
        return session { $0.submitRequest(self, request, scheme: "https", hasBody: true) }
    }

    // MARK: Out

    /// Queues `message`; nothing once the call is over.
    func send(_ message: [UInt8]) {
        guard end == nil, !sending.isEnded else { return }
        let frame = GRPCFrames.frame(message)
        var start = 0
        while start < frame.count {
            pools { pools in
                let pool = frame.count - start <= pools.small.capacity ? pools.small : pools.medium
                let count = min(pool.capacity, frame.count - start)
                sending.append(Slice.copy(of: frame.span.extracting(start..<start + count), in: pool))
                start += count
            }
        }
        session { $0.resume(self) }
    }

    /// Says that no message follows.
    func finishSending() {
        guard !sending.isEnded else { return }
        sending.end()
        session { $0.resume(self) }
    }

    /// Ends the call for a reason of our own.
    func cancel() { session { $0.reset(self, code: HTTP2Code.cancel) } }

    // MARK: In

    /// Messages that came since this was last asked.
    func takeMessages() -> [[UInt8]] {
        var messages: [[UInt8]] = []
        guard fault == nil else { return [] }
        do throws(ProxyError) {
            while let message = try frames.next() { messages.append(message) }
        } catch {
            fault = error.description
            cancel()
        }
        return messages
    }

    override func bodyReceived(count: Int) {
        while !receiving.isEmpty {
            let slice = receiving.takeFirst(upTo: .max)
            frames.append(slice.span)
        }
        session { $0.consume(self, count) }
    }

    override func ended(hasTrailers: Bool) { finishSending() }

    override func closed(_ end: StreamEnd) {
        self.end = status(end)
        // The session forgets this stream: nothing here may reach it any more.
        sending.end()
    }

    private func status(_ end: StreamEnd) -> CallEnd {
        if let fault { return CallEnd(code: 13, message: fault) }
        for head in [responseTrailers, response] {
            guard let index = head.firstIndex(of: .grpcStatus) else { continue }
            let code = Int(text(head, head[index].valueRange)) ?? 2
            let message = head.firstIndex(of: .grpcMessage).map { text(head, head[$0].valueRange) } ?? ""
            return CallEnd(code: code, message: PercentText.decode(message))
        }
        if response.status != 0, response.status != 200 {
            return CallEnd(code: CallEnd.unavailable, message: "HTTP status \(response.status)")
        }
        switch end {
        case .complete: return CallEnd(code: 2, message: "the server gave no status")
        case .reset(let code): return CallEnd(code: CallEnd.unavailable, message: "the server reset it (\(code))")
        case .refused: return CallEnd(code: CallEnd.unavailable, message: "the server refused the stream")
        case .cancelled: return CallEnd(code: 1, message: "cancelled")
        case .failed(let reason): return CallEnd(code: 13, message: reason.rawValue)
        case .lost: return CallEnd(code: CallEnd.unavailable, message: "the connection ended")
        }
    }

    private func text(_ head: MessageHead, _ range: ByteRange) -> String {
        let span = head.span(range)
        return String(decoding: (0..<span.count).map { span[$0] }, as: UTF8.self)
    }
}

/// The encoding of grpc-message: bytes that are not printable ASCII as `%XX`.
enum PercentText {
    /// What `text` stands for; sequences that are none stay as they are.
    static func decode(_ text: String) -> String {
        let bytes = Array(text.utf8)
        var decoded: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count, let high = digit(bytes[index + 1]),
                let low = digit(bytes[index + 2])
            {
                decoded.append(high << 4 | low)
                index += 3
            } else {
                decoded.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: decoded, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        Character(Unicode.Scalar(byte)).hexDigitValue.map { UInt8(truncatingIfNeeded: $0) }
    }
}
