import MeshCore

/// What must be remembered about the peer's frames to hold it to RFC 9113 and to the limits, beyond what nghttp2 1.52
/// remembers. Decisions are the session's; this is state and arithmetic.
struct FrameGuard {
    /// What a frame costs or breaks.
    enum Verdict {
        case pass
        /// Look up the stream, once everything before this frame is processed.
        case checkStream
        /// Read the dependency that follows.
        case readDependency
        /// Connection error.
        case fail(code: UInt32, Reason)
    }

    /// Frames without use, so far.
    private(set) var glitches = 0
    /// PING, SETTINGS and GOAWAY frames so far, acknowledgements aside.
    private(set) var controlFrames = 0
    /// Streams that the peer reset, or made us reset, so far.
    private(set) var resets = 0

    private let isServer: Bool
    private let maxContinuations: Int
    private var resetBucket: TokenBucket
    private var glitchBucket: TokenBucket
    private var controlBucket: TokenBucket
    var now = Instant(nanoseconds: 0)

    /// The stream whose header block is open, 0 for none, and its CONTINUATION frames so far.
    private var openBlock: Int32 = 0
    private var continuations = 0
    private var lastFrame: Int32 = 0

    /// Server: the highest stream id that the client used.
    private(set) var highest: Int32 = -1
    /// Server: ids that the client jumped over, and thereby closed unused; the latest few.
    private var skipped: [ClosedRange<Int32>] = []
    /// Server: streams that ended through us while the client could still be sending. It learns of it a round trip
    /// later, and has at most its limit of streams in that state.
    private var endedByUs: RecentIDs
    /// Server: streams that the client reset last.
    private var resetByPeer = RecentIDs(capacity: 32)
    /// Streams above were ignored since we sent GOAWAY.
    var lastAccepted = Int32.max

    /// WINDOW_UPDATE frames that the peer has a use for: some at the start, two a stream, ten a DATA frame of ours.
    private var windowUpdates = 100

    init(_ configuration: HTTP2Configuration) {
        isServer = configuration.role == .server
        maxContinuations = configuration.maxContinuations
        resetBucket = TokenBucket(configuration.resets)
        glitchBucket = TokenBucket(configuration.glitches)
        controlBucket = TokenBucket(configuration.controlFrames)
        endedByUs = RecentIDs(capacity: min(max(configuration.maxConcurrentStreams, 1), 4096))
    }

    // MARK: Frames

    /// Judges a frame by its header.
    mutating func judge(_ frame: FrameHeader) -> Verdict {
        if frame.length > FrameHeader.maxLength {
            return .fail(code: HTTP2ErrorCode.frameSizeError, .http2ProtocolError)
        }
        if openBlock != 0 { return judgeContinuation(frame) }
        switch frame.type {
        case FrameHeader.data:
            if frame.length == 0 && frame.flags & FrameHeader.endStream == 0 {
                return glitch(then: check(frame.stream))
            }
            return check(frame.stream)
        case FrameHeader.headers:
            return judgeHeaders(frame)
        case FrameHeader.priority:
            lastFrame = frame.stream
            if frame.stream == 0 { return .fail(code: HTTP2ErrorCode.protocolError, .http2ProtocolError) }
            return glitch(then: frame.length == 5 ? .readDependency : .pass)
        case FrameHeader.reset:
            return countReset() ?? .pass
        case FrameHeader.settings, FrameHeader.ping:
            return frame.flags & FrameHeader.ack == 0 ? control() : .pass
        case FrameHeader.goaway:
            return control()
        case FrameHeader.windowUpdate:
            if windowUpdates == 0 { return glitch(then: .pass) }
            windowUpdates &-= 1
            return .pass
        case FrameHeader.pushPromise, FrameHeader.continuation:
            return .pass  // Errors both, which nghttp2 answers.
        default:
            return glitch(then: .pass)
        }
    }

    private mutating func judgeHeaders(_ frame: FrameHeader) -> Verdict {
        if frame.flags & FrameHeader.endHeaders == 0 {
            openBlock = frame.stream
            continuations = 0
        }
        var verdict = Verdict.pass
        if isServer && frame.stream & 1 == 1 {
            if frame.stream > highest {
                if frame.stream > highest &+ 2 {
                    if skipped.count == 8 { skipped.removeFirst() }
                    skipped.append((highest &+ 2)...(frame.stream &- 2))
                }
                highest = frame.stream
                windowUpdates = min(windowUpdates &+ 2, 100_000)
            } else {
                verdict = .checkStream
            }
        }
        return frame.length == 0 ? glitch(then: verdict) : verdict
    }

    private mutating func judgeContinuation(_ frame: FrameHeader) -> Verdict {
        guard frame.type == FrameHeader.continuation, frame.stream == openBlock else {
            return .fail(code: HTTP2ErrorCode.protocolError, .http2ProtocolError)
        }
        continuations &+= 1
        if continuations > maxContinuations {
            return .fail(code: HTTP2ErrorCode.enhanceYourCalm, .http2GlitchFlood)
        }
        if frame.flags & FrameHeader.endHeaders != 0 { openBlock = 0 }
        return frame.length == 0 ? glitch(then: .pass) : .pass
    }

    /// The frame judged last was a PRIORITY that makes its stream depend on `stream`.
    func judge(dependency stream: Int32) -> Verdict {
        stream == lastFrame ? .fail(code: HTTP2ErrorCode.protocolError, .http2ProtocolError) : .pass
    }

    private func check(_ stream: Int32) -> Verdict {
        isServer && stream <= highest && stream & 1 == 1 ? .checkStream : .pass
    }

    /// What a frame on a stream that nghttp2 does not know any more, or never did, means to a server.
    enum ClosedStream {
        /// It crossed our own end of the stream: let it pass.
        case crossing
        /// Stream error STREAM_CLOSED.
        case afterReset
        /// Connection error with this code.
        case violation(UInt32)
    }

    /// RFC 9113 §5.1 and §5.1.1 for a DATA or HEADERS frame.
    func closedStream(_ id: Int32, isHeaders: Bool) -> ClosedStream {
        if id > lastAccepted || endedByUs.contains(id) { return .crossing }
        if resetByPeer.contains(id) { return .afterReset }
        let unused = skipped.contains { $0.contains(id) }
        return .violation(isHeaders && unused ? HTTP2ErrorCode.protocolError : HTTP2ErrorCode.streamClosed)
    }

    // MARK: What happened

    /// Server: a stream is over.
    mutating func noteClosed(_ id: Int32, peerEnded: Bool, peerReset: Bool) {
        guard isServer else { return }
        if !peerEnded { endedByUs.insert(id) }
        if peerReset { resetByPeer.insert(id) }
    }

    /// A stream was opened by us.
    mutating func noteOpened() { windowUpdates = min(windowUpdates &+ 2, 100_000) }

    /// A DATA frame went out.
    mutating func noteData() { windowUpdates = min(windowUpdates &+ 10, 100_000) }

    /// One more stream ended early through the peer; the failure if these are too many.
    mutating func countReset() -> Verdict? {
        resets &+= 1
        if resetBucket.take(now: now) { return nil }
        return .fail(code: HTTP2ErrorCode.enhanceYourCalm, .http2ResetFlood)
    }

    /// One more useless frame.
    mutating func glitch(then verdict: Verdict) -> Verdict {
        glitches &+= 1
        if glitchBucket.take(now: now) { return verdict }
        return .fail(code: HTTP2ErrorCode.enhanceYourCalm, .http2GlitchFlood)
    }

    private mutating func control() -> Verdict {
        controlFrames &+= 1
        if controlBucket.take(now: now) { return .pass }
        return .fail(code: HTTP2ErrorCode.enhanceYourCalm, .http2ControlFlood)
    }
}

/// The latest few stream ids, without memory until there is one.
struct RecentIDs {
    private let capacity: Int
    private var ids: [Int32] = []
    private var oldest = 0

    init(capacity: Int) { self.capacity = capacity }

    mutating func insert(_ id: Int32) {
        if ids.count < capacity {
            ids.append(id)
        } else {
            ids[oldest] = id
            oldest = oldest &+ 1 == capacity ? 0 : oldest &+ 1
        }
    }

    func contains(_ id: Int32) -> Bool { ids.contains(id) }
}
