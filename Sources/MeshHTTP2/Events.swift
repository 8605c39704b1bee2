import CNGHTTP2
import MeshCore
import MeshHTTP

/// What nghttp2 reports, called by the functions of `Callbacks.swift`.
extension HTTP2Session {
    /// What a callback tells nghttp2.
    enum Answer {
        case proceed
        /// Ignore the rest of this header block; the stream was reset.
        case ignoreBlock
        /// Stop at once.
        case stop
    }

    // MARK: Heads

    /// A header block begins.
    final func blockBegins(_ id: Int32, category: nghttp2_headers_category) -> Answer {
        guard let handle = unsafe handle else { return .stop }
        if category == NGHTTP2_HCAT_REQUEST { return unsafe requestBegins(id, handle) }
        guard let stream = self.stream(id) else { return .ignoreBlock }
        current = stream
        stream { stream in
            if stream.state.contains(.headComplete) {
                receiver.begin(.trailers)
                stream.trailers?.callAsFunction { $0.reset() }
            } else {
                receiver.begin(.response)
                stream.head?.callAsFunction { $0.reset() }
            }
        }
        return .proceed
    }

    private final func requestBegins(_ id: Int32, _ handle: OpaquePointer) -> Answer {
        guard let stream = openStream(), let head = stream.head else {
            unsafe nghttp2_submit_rst_stream(handle, 0, id, HTTP2ErrorCode.refusedStream)
            return .ignoreBlock
        }
        adopt(stream, id: id)
        head { $0.reset() }
        receiver.begin(.request)
        current = Link(stream)
        unsafe nghttp2_session_set_stream_user_data(handle, id, Link(stream).opaque)
        // Streams share the connection in turn unless the client says otherwise (RFC 9218 §10).
        var priority = nghttp2_extpri(urgency: UInt32(NGHTTP2_EXTPRI_DEFAULT_URGENCY), inc: 1)
        unsafe nghttp2_session_change_extpri_stream_priority(handle, id, &priority, 0)
        return .proceed
    }

    /// A field of the current block.
    final func fieldReceived(_ name: Span<UInt8>, _ value: Span<UInt8>) -> Answer {
        guard let stream = current else { return .ignoreBlock }
        return stream { stream in
            let target = receiver.kind == .trailers ? stream.trailers : stream.head
            let outcome: HeadReceiver.Outcome
            if let target {
                outcome = target { receiver.field(name, value, into: $0) }
            } else {
                outcome = receiver.skip(name, value)
            }
            switch outcome {
            case .taken: return .proceed
            case .malformed:
                malformed(stream)
                return .ignoreBlock
            case .bomb:
                fail(HTTP2ErrorCode.enhanceYourCalm, .headersTooLarge)
                return .stop
            }
        }
    }

    /// The block of `stream` is complete.
    private final func blockReceived(_ stream: HTTP2Stream, endStream: Bool) {
        current = nil
        let target = receiver.kind == .trailers ? stream.trailers : stream.head
        let valid =
            target?.callAsFunction {
                receiver.finish($0, endStream: endStream, headRequest: stream.state.contains(.headRequest))
            } ?? true
        guard valid else { return malformed(stream) }
        switch receiver.kind {
        case .trailers:
            if receiver.rejection != nil { return malformed(stream) }
            finish(stream, hasTrailers: true)
        case .request:
            stream.rejection = receiver.rejection
            stream.state.insert(.headComplete)
            if endStream { stream.state.insert(.peerEnded) }
            stream.headReceived()
            if endStream { finish(stream, hasTrailers: false) }
        case .response:
            stream.rejection = receiver.rejection
            let interim = stream.head.map { $0 { $0.status < 200 } } ?? false
            if !interim { stream.state.insert(.headComplete) }
            if endStream { stream.state.insert(.peerEnded) }
            stream.headReceived()
            if endStream { finish(stream, hasTrailers: false) }
        }
    }

    /// The peer's message on this stream is malformed (RFC 9113 §8.1.1).
    private final func malformed(_ stream: HTTP2Stream) {
        current = nil
        guard let handle = unsafe handle else { return }
        if stream.failure == nil { stream.failure = peerFault }
        unsafe nghttp2_submit_rst_stream(handle, 0, stream.id, HTTP2ErrorCode.protocolError)
    }

    private final func finish(_ stream: HTTP2Stream, hasTrailers: Bool) {
        stream.state.insert(.peerEnded)
        stream.body?.callAsFunction { $0.end() }
        stream.ended(hasTrailers: hasTrailers)
    }

    /// The reason of what the peer does wrong on one stream.
    private final var peerFault: Reason {
        configuration.role == .server ? .http2ProtocolError : .upstreamMalformedResponse
    }

    // MARK: Frames

    /// A whole frame was accepted.
    final func frameReceived(_ frame: UnsafePointer<nghttp2_frame>) {
        let header = unsafe frame.pointee.hd
        let end = header.flags & FrameHeader.endStream != 0
        switch header.type {
        case FrameHeader.data:
            if end, let stream = self.stream(header.stream_id) { stream { finish($0, hasTrailers: false) } }
        case FrameHeader.headers:
            if let stream = current { stream { blockReceived($0, endStream: end) } }
        case FrameHeader.reset:
            guard let stream = self.stream(header.stream_id) else { return }
            let code = unsafe frame.pointee.rst_stream.error_code
            stream {
                $0.state.formUnion([.peerEnded, .peerReset])
                $0.peerCode = code
            }
        case FrameHeader.ping:
            if header.flags & FrameHeader.ack != 0 { pongReceived() }
        case FrameHeader.settings:
            if header.flags & FrameHeader.ack == 0 { settingsReceived() }
        case FrameHeader.goaway:
            goawayWasReceived = true
            let goaway = unsafe frame.pointee.goaway
            unsafe goawayReceived(lastStreamID: goaway.last_stream_id, code: goaway.error_code)
        default:
            return
        }
    }

    private final func pongReceived() {
        if unansweredPings > 0 {
            unansweredPings -= 1
        } else if case .fail(let code, let reason) = guards.glitch(then: .pass) {
            fail(code, reason)
        }
    }

    /// A frame was refused: as a connection error, or as a stream error, for which RST_STREAM is queued.
    final func frameInvalid(_ frame: UnsafePointer<nghttp2_frame>, error: Int32) {
        let id = unsafe frame.pointee.hd.stream_id
        if let stream = self.stream(id) {
            stream { if $0.failure == nil { $0.failure = peerFault } }
        } else if id != 0 && error == NGHTTP2_ERR_REFUSED_STREAM.rawValue {
            guards.noteClosed(id, peerEnded: false, peerReset: false)
            if case .fail(let code, let reason) = guards.countReset() { fail(code, reason) }
        }
    }

    /// Body bytes, which stand in the slice being received.
    final func dataReceived(_ id: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        guard let handle = unsafe handle else { return }
        guard let input = unsafe input, let link = self.stream(id) else {
            unsafe nghttp2_session_consume_connection(handle, count)
            return
        }
        link { stream in
            guard let body = stream.body, !stream.state.contains(.cancelled) else {
                unsafe nghttp2_session_consume(handle, id, count)
                return
            }
            stream.unconsumed &+= count
            // SAFETY: nghttp2 gives pointers into the bytes that it was given, which are those of `input`.
            let offset = unsafe UnsafeRawPointer(bytes) - input.pointee.buffer.baseAddress!
            body { unsafe $0.append(input.pointee.sub(offset, count)) }
            stream.bodyReceived(count: count)
        }
    }

    /// A stream is over.
    final func streamClosed(_ id: Int32, code: UInt32) {
        guard let handle = unsafe handle else { return }
        guard let link = self.stream(id) else {
            guards.noteClosed(id, peerEnded: false, peerReset: false)
            return
        }
        link { stream in
            let state = stream.state
            guards.noteClosed(
                id, peerEnded: state.contains(.peerEnded), peerReset: state.contains(.peerReset))
            if stream.unconsumed > 0 { unsafe nghttp2_session_consume_connection(handle, stream.unconsumed) }
            unsafe nghttp2_session_set_stream_user_data(handle, id, nil)
            forget(stream, end(of: stream, code))
        }
    }

    private final func end(of stream: HTTP2Stream, _ code: UInt32) -> StreamEnd {
        let isClient = configuration.role == .client
        if let failure = stream.failure { return .failed(failure) }
        if stream.state.contains(.cancelled) { return .cancelled }
        if stream.state.contains(.peerReset) {
            let refused = isClient && stream.peerCode == HTTP2ErrorCode.refusedStream
            return refused ? .refused : .reset(code: stream.peerCode)
        }
        if stream.state.contains(.lost) { return .lost }
        if code == HTTP2ErrorCode.noError { return .complete }
        if isClient && code == HTTP2ErrorCode.refusedStream { return .refused }
        return .failed(peerFault)
    }

    /// The open stream with this id.
    final func stream(_ id: Int32) -> Link<HTTP2Stream>? {
        guard let handle = unsafe handle, let opaque = unsafe nghttp2_session_get_stream_user_data(handle, id) else {
            return nil
        }
        // SAFETY: user data of an nghttp2 stream is the stream that `adopt` retained; it is cleared before `forget`.
        return unsafe Link(opaque: opaque)
    }
}
