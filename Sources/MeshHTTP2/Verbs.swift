import CNGHTTP2
import MeshCore
import MeshHTTP

/// What the owner does: requests, responses, windows, resets. All of it is legal inside events.
extension HTTP2Session {
    /// Queues the connection preface and our settings. Called once, first.
    public final func start() {
        guard let handle = unsafe handle else { return }
        // SAFETY: nghttp2 copies the entries.
        unsafe withUnsafeTemporaryAllocation(of: nghttp2_settings_entry.self, capacity: 5) { entries in
            var count = 0
            func add(_ id: nghttp2_settings_id, _ value: Int) {
                unsafe entries[count] = nghttp2_settings_entry(
                    settings_id: Int32(id.rawValue), value: UInt32(clamping: value))
                count += 1
            }
            if configuration.role == .server {
                add(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, configuration.maxConcurrentStreams)
                // Nobody gains by the priority tree of RFC 7540, and it costs at every stream.
                add(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1)
                if configuration.extendedConnect { add(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1) }
            } else {
                add(NGHTTP2_SETTINGS_ENABLE_PUSH, 0)
            }
            add(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, configuration.streamWindow)
            add(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, configuration.maxHeaderBytes)
            unsafe nghttp2_submit_settings(handle, 0, entries.baseAddress, count)
        }
        unsafe nghttp2_session_set_local_window_size(
            handle, 0, 0, Int32(clamping: max(configuration.connectionWindow, 65_535)))
        announceOutput()
    }

    // MARK: Messages

    /// Client: opens a stream with this request head. False if none can be opened; the stream is untouched then.
    ///
    /// - Parameter hasBody: the body comes from `stream.outgoing`, which must be set.
    public final func submitRequest(
        _ stream: HTTP2Stream, _ head: MessageHead, scheme: StaticString, hasBody: Bool
    ) -> Bool {
        guard let handle = unsafe handle, canSubmit else { return false }
        let pairs = unsafe HeadSender.request(head, scheme: scheme)
        let id = unsafe submit(stream, hasBody) { provider in
            unsafe nghttp2_submit_request(handle, nil, pairs.pairs, pairs.count, provider, Link(stream).opaque)
        }
        guard id > 0 else { return false }
        adopt(stream, id: id)
        if head.method == .head { stream.state.insert(.headRequest) }
        guards.noteOpened()
        announceOutput()
        return true
    }

    /// Server: queues an interim response (1xx). Nothing happens once the stream is over or was responded to.
    public final func inform(_ stream: HTTP2Stream, _ head: MessageHead) {
        guard let handle = unsafe handle, stream.id > 0, !stream.state.contains(.responded) else { return }
        unsafe withResponse(head) { pairs in
            _ = unsafe nghttp2_submit_headers(handle, 0, stream.id, nil, pairs.pairs, pairs.count, nil)
        }
        announceOutput()
    }

    /// Server: queues the response. Nothing happens once the stream is over or was responded to.
    ///
    /// - Parameter hasBody: the body comes from `stream.outgoing`, which must be set.
    public final func respond(_ stream: HTTP2Stream, _ head: MessageHead, hasBody: Bool) {
        guard let handle = unsafe handle, stream.id > 0, !stream.state.contains(.responded) else { return }
        stream.state.insert(.responded)
        unsafe withResponse(head) { pairs in
            _ = unsafe submit(stream, hasBody) { provider in
                unsafe nghttp2_submit_response(handle, stream.id, pairs.pairs, pairs.count, provider)
            }
        }
        announceOutput()
    }

    /// There is more in `stream.outgoing`, or it ended.
    public final func resume(_ stream: HTTP2Stream) {
        guard stream.state.contains(.deferred), stream.id > 0, let handle = unsafe handle else { return }
        stream.state.remove(.deferred)
        unsafe nghttp2_session_resume_data(handle, stream.id)
        announceOutput()
    }

    /// `count` received body bytes were handed on: the peer may send as many more. Once the stream is closed its
    /// bytes count as consumed, and this does nothing.
    public final func consume(_ stream: HTTP2Stream, _ count: Int) {
        guard stream.id > 0, let handle = unsafe handle else { return }
        precondition(count >= 0 && count <= stream.unconsumed, "more consumed than received")
        stream.unconsumed &-= count
        unsafe nghttp2_session_consume(handle, stream.id, count)
        announceOutput()
    }

    /// Ends the stream with RST_STREAM. ``HTTP2Stream/closed(_:)`` comes when that is flushed.
    public final func reset(_ stream: HTTP2Stream, code: UInt32) {
        guard stream.id > 0, let handle = unsafe handle else { return }
        stream.state.insert(.cancelled)
        unsafe nghttp2_submit_rst_stream(handle, 0, stream.id, code)
        announceOutput()
    }

    // MARK: Connection

    /// Queues a PING.
    public final func ping() {
        guard let handle = unsafe handle else { return }
        unansweredPings += 1
        unsafe nghttp2_submit_ping(handle, 0, nil)
        announceOutput()
    }

    /// Server: asks the client to open no more streams, but serves those on their way: GOAWAY with id 2^31-1.
    public final func announceShutdown() {
        guard let handle = unsafe handle, configuration.role == .server else { return }
        unsafe nghttp2_submit_shutdown_notice(handle)
        announceOutput()
    }

    /// Queues GOAWAY with the id of the last stream processed. With NO_ERROR open streams go on; with another code
    /// the session is finished as soon as it is flushed.
    public final func goaway(code: UInt32) {
        guard let handle = unsafe handle else { return }
        if code == HTTP2ErrorCode.noError {
            let last = unsafe nghttp2_session_get_last_proc_stream_id(handle)
            unsafe nghttp2_submit_goaway(handle, 0, last, code, nil, 0)
        } else {
            endedByOwner = true
            unsafe nghttp2_session_terminate_session(handle, code)
        }
        announceOutput()
    }

    // MARK: Below the verbs

    private final func submit(
        _ stream: HTTP2Stream, _ hasBody: Bool, _ body: (UnsafePointer<nghttp2_data_provider>?) -> Int32
    ) -> Int32 {
        if !hasBody { return body(nil) }
        // SAFETY: nghttp2 copies the provider. The stream that it names is retained until it is closed, and nghttp2
        // asks for data of open streams only.
        var provider = unsafe nghttp2_data_provider(
            source: nghttp2_data_source(ptr: Link(stream).opaque), read_callback: provideBody)
        return unsafe body(&provider)
    }

    private final func withResponse(_ head: MessageHead, _ body: (HeadSender) -> Void) {
        var digits: (UInt8, UInt8, UInt8) = (0, 0, 0)
        unsafe withUnsafeMutableBytes(of: &digits) { bytes in
            // SAFETY: three bytes, for the length of the call; nghttp2 copies them in it.
            let start = unsafe bytes.baseAddress!.assumingMemoryBound(to: UInt8.self)
            unsafe body(HeadSender.response(head, digits: start))
        }
    }

    /// Takes a reference to the stream and counts it as open.
    final func adopt(_ stream: HTTP2Stream, id: Int32) {
        // SAFETY: given back in `forget`, which every adopted stream comes to.
        _ = unsafe Unmanaged.passRetained(stream)
        stream.begin(id: id)
        stream.next = first
        if let first { first { $0.previous = Link(stream) } }
        first = Link(stream)
        openStreamCount += 1
    }

    /// Tells the stream that it is over, and gives the reference back.
    final func forget(_ stream: HTTP2Stream, _ end: StreamEnd) {
        if let next = stream.next { next { $0.previous = stream.previous } }
        if let previous = stream.previous { previous { $0.next = stream.next } } else { first = stream.next }
        stream.previous = nil
        stream.next = nil
        stream.id = 0
        openStreamCount -= 1
        if let current, current.points(to: stream) { self.current = nil }
        stream.closed(end)
        // SAFETY: the reference taken in `adopt`.
        unsafe Unmanaged.passUnretained(stream).release()
    }
}
