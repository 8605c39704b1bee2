import CNGHTTP2
import MeshCore
import MeshHTTP

/// HTTP/2 on one connection, without I/O: bytes in by ``receive(_:now:)``, frames out by ``flush(into:upTo:)``.
///
/// nghttp2 1.52 parses and writes frames, keeps the HPACK tables, windows and stream states. This class holds the
/// peer to what nghttp2 lets pass (`FrameScanner`, `FrameGuard`), turns header blocks into heads (`HeadReceiver`,
/// `HeadSender`), and moves bodies without copying. The owner subclasses it for its events. One loop only.
@safe
open class HTTP2Session {
    /// What the session was made with.
    public final let configuration: HTTP2Configuration
    /// Why the connection must end, once that is known. What is queued by then, a GOAWAY, is to be flushed first.
    public final internal(set) var failure: Reason?
    /// Streams between their opening and ``HTTP2Stream/closed(_:)``.
    public final internal(set) var openStreamCount = 0
    /// PING frames of ours that the peer has not answered.
    public final internal(set) var unansweredPings = 0
    /// True once the peer sent GOAWAY.
    public final internal(set) var goawayWasReceived = false

    /// Owned by the session, freed by `close`; nil after.
    final var handle: OpaquePointer?
    final var guards: FrameGuard
    final var receiver: HeadReceiver
    private final var scanner: FrameScanner

    /// The bytes being received: nghttp2 hands out pointers into them. Set only inside `receive`.
    final var input: UnsafePointer<Slice>?
    /// Where frames go. Set only inside `flush`.
    final var sink: UnsafeMutablePointer<OutputQueue>?
    final var sinkLimit = 0

    /// The stream whose header block is being received.
    final var current: Link<HTTP2Stream>?
    /// The open streams, latest first.
    final var first: Link<HTTP2Stream>?
    /// The owner was told that there is output, and has not flushed since.
    private final var flushAnnounced = false
    final var peerEnded = false
    final var isBroken = false
    /// The owner ended the session with an error code of its own.
    final var endedByOwner = false
    /// Bytes of `input` that nghttp2 was given.
    private final var fed = 0

    /// A session that has neither sent nor received anything.
    ///
    /// - Parameter pools: of the loop; must outlive the session.
    public init(_ configuration: HTTP2Configuration, pools: BufferPools) {
        self.configuration = configuration
        guards = FrameGuard(configuration)
        receiver = HeadReceiver(configuration)
        scanner = FrameScanner(expectsPreface: configuration.role == .server)
        unsafe handle = nil
        unsafe input = nil
        unsafe sink = nil
        unsafe handle = makeHandle()
    }

    deinit {
        precondition(first == nil, "a session must be closed before it goes")
        if let handle = unsafe handle { unsafe nghttp2_session_del(handle) }
    }

    // MARK: Events

    /// Server: a request begins. Returns the stream for it, with `head` set, or nil to refuse it (REFUSED_STREAM).
    open func openStream() -> HTTP2Stream? { nil }

    /// There is output to flush. Called once until the next flush.
    open func wantsFlush() {}

    /// The peer sent GOAWAY: it processes no stream of ours above `lastStreamID`.
    open func goawayReceived(lastStreamID: Int32, code: UInt32) {}

    /// The peer sent SETTINGS.
    open func settingsReceived() {}

    // MARK: Bytes in

    /// Takes received bytes and runs the events that they mean; nil to go on. Else flush what is queued, then close.
    public final func receive(_ slice: consuming Slice, now: Instant) -> Reason? {
        if failure != nil { return failure }
        guard unsafe handle != nil else { return nil }
        precondition(unsafe input == nil && sink == nil, "receive inside an event")
        guards.now = now
        unsafe withUnsafePointer(to: slice) { pointer in
            // SAFETY: `slice` outlives this call, and `input` is cleared before it ends.
            unsafe input = pointer
            fed = 0
            scan(unsafe pointer.pointee.span)
            unsafe input = nil
        }
        if let handle = unsafe handle, failure == nil,
            unsafe nghttp2_session_get_outbound_queue_size(handle) > configuration.maxQueuedFrames
        {
            fail(HTTP2ErrorCode.enhanceYourCalm, .http2OutputOverflow)
        }
        announceOutput()
        return failure
    }

    /// The peer closed its side of the connection: streams whose end has not come are lost.
    public final func receiveEnd() {
        guard let handle = unsafe handle, !peerEnded else { return }
        peerEnded = true
        var link = first
        while let stream = link {
            link = stream { stream in
                if !stream.state.contains(.peerEnded) {
                    stream.state.insert(.lost)
                    unsafe nghttp2_submit_rst_stream(handle, 0, stream.id, HTTP2ErrorCode.cancel)
                }
                return stream.next
            }
        }
        announceOutput()
    }

    private final func scan(_ bytes: Span<UInt8>) {
        scanner.begin()
        while failure == nil {
            switch scanner.next(bytes) {
            case .done:
                feed(upTo: bytes.count)
                return
            case .badPreface:
                fail(HTTP2ErrorCode.protocolError, .http2ProtocolError)
            case .dependency(let stream):
                apply(guards.judge(dependency: stream), to: nil, at: scanner.position)
            case .frame(let frame, let start):
                let verdict = guards.judge(frame)
                if case .pass = verdict { continue }
                apply(verdict, to: frame, at: start)
            }
        }
    }

    private final func apply(_ verdict: FrameGuard.Verdict, to frame: FrameHeader?, at start: Int) {
        switch verdict {
        case .pass:
            return
        case .readDependency:
            scanner.readDependency()
        case .fail(let code, let reason):
            feed(upTo: start)
            fail(code, reason)
        case .checkStream:
            guard let frame else { return }
            feed(upTo: start)
            if failure == nil { checkStream(frame) }
        }
    }

    /// Looks a DATA or HEADERS frame up whose stream may be closed, before nghttp2 would ignore it.
    private final func checkStream(_ frame: FrameHeader) {
        guard let handle = unsafe handle, unsafe nghttp2_session_find_stream(handle, frame.stream) == nil else {
            return
        }
        switch guards.closedStream(frame.stream, isHeaders: frame.type == FrameHeader.headers) {
        case .crossing:
            return
        case .afterReset:
            unsafe nghttp2_submit_rst_stream(handle, 0, frame.stream, HTTP2ErrorCode.streamClosed)
            if case .fail(let code, let reason) = guards.glitch(then: .pass) { fail(code, reason) }
        case .violation(let code):
            fail(code, .http2ProtocolError)
        }
    }

    /// Gives nghttp2 the bytes up to `end` that it has not had.
    private final func feed(upTo end: Int) {
        guard end > fed, let handle = unsafe handle, let input = unsafe input else { return }
        // SAFETY: `input` is set by `receive`, and the range lies inside it.
        let start = unsafe input.pointee.buffer.baseAddress!.assumingMemoryBound(to: UInt8.self) + fed
        let result = unsafe nghttp2_session_mem_recv(handle, start, end &- fed)
        fed = end
        if result < 0 && failure == nil { fail(receiveError: Int32(truncatingIfNeeded: result)) }
    }

    private final func fail(receiveError error: Int32) {
        switch nghttp2_error(error) {
        case NGHTTP2_ERR_FLOODED: fail(HTTP2ErrorCode.enhanceYourCalm, .http2ControlFlood)
        case NGHTTP2_ERR_BAD_CLIENT_MAGIC: fail(HTTP2ErrorCode.protocolError, .http2ProtocolError)
        case NGHTTP2_ERR_NOMEM: fail(HTTP2ErrorCode.internalError, .overloaded)
        default: fail(HTTP2ErrorCode.internalError, .internalError)
        }
    }

    /// Ends the connection: GOAWAY is queued, and nothing more is received.
    final func fail(_ code: UInt32, _ reason: Reason) {
        if failure == nil { failure = reason }
        guard let handle = unsafe handle else { return }
        unsafe nghttp2_session_terminate_session(handle, code)
    }

    // MARK: Bytes out

    /// Moves frames into `output` until it holds `limit` bytes or there are none left.
    ///
    /// Events run inside; they must not touch `output`. If it is full and ``wantsOutput`` stays true, flush again
    /// when it was written out: ``wantsFlush()`` does not come for what stayed behind.
    public final func flush(into output: inout OutputQueue, upTo limit: Int) {
        guard let handle = unsafe handle else { return }
        precondition(unsafe input == nil && sink == nil, "flush inside an event")
        unsafe withUnsafeMutablePointer(to: &output) { pointer in
            // SAFETY: `output` is ours alone for this call, and `sink` is cleared before it ends.
            unsafe sink = pointer
            sinkLimit = limit
            while unsafe pointer.pointee.byteCount < limit {
                var bytes: UnsafePointer<UInt8>?
                let count = unsafe nghttp2_session_mem_send(handle, &bytes)
                guard count > 0, let bytes = unsafe bytes else {
                    if count < 0 { breakDown() }
                    break
                }
                // SAFETY: nghttp2's frame buffer, valid until the next call.
                unsafe pointer.pointee.append(copying: Span(_unsafeStart: bytes, count: count))
            }
            unsafe sink = nil
        }
        flushAnnounced = false
    }

    /// nghttp2 cannot go on writing: out of memory, or its state is beyond repair.
    private final func breakDown() {
        isBroken = true
        if failure == nil { failure = .internalError }
    }

    /// Tells the owner, once, that there is output.
    final func announceOutput() {
        if flushAnnounced { return }
        guard let handle = unsafe handle, unsafe nghttp2_session_want_write(handle) != 0 else { return }
        flushAnnounced = true
        wantsFlush()
    }

    // MARK: End

    /// The connection is being closed: every open stream ends, and all memory of nghttp2 goes. Never inside an event.
    public final func close() {
        guard let handle = unsafe handle else { return }
        precondition(unsafe input == nil && sink == nil, "close inside an event")
        unsafe self.handle = nil
        while let stream = first {
            stream { stream in
                let sent = unsafe nghttp2_session_find_stream(handle, stream.id) != nil
                forget(stream, configuration.role == .client && !sent ? .refused : .lost)
            }
        }
        unsafe nghttp2_session_del(handle)
    }
}
