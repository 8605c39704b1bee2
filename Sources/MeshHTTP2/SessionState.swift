import CNGHTTP2
import MeshCore

/// What the owner can ask at any time.
extension HTTP2Session {
    /// True if ``flush(into:upTo:)`` would give something.
    public final var wantsOutput: Bool {
        guard let handle = unsafe handle, !isBroken else { return false }
        return unsafe nghttp2_session_want_write(handle) != 0
    }

    /// True if there is nothing to receive and nothing to flush any more: the connection should be closed.
    public final var isFinished: Bool {
        guard let handle = unsafe handle, !isBroken else { return true }
        if unsafe nghttp2_session_want_write(handle) != 0 { return false }
        return unsafe nghttp2_session_want_read(handle) == 0 || (peerEnded && openStreamCount == 0)
    }

    /// Client: true if a request can be submitted and will be sent at once: no GOAWAY, ids left, fewer streams open
    /// than the peer and we allow.
    public final var canSubmit: Bool {
        guard let handle = unsafe handle, failure == nil, !peerEnded,
            openStreamCount < configuration.maxConcurrentStreams,
            unsafe nghttp2_session_check_request_allowed(handle) != 0
        else { return false }
        let limit = unsafe nghttp2_session_get_remote_settings(handle, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
        return openStreamCount < Int(limit)
    }

    /// The number of streams that the peer allows us to open at a time.
    public final var peerMaxConcurrentStreams: Int {
        guard let handle = unsafe handle else { return 0 }
        return unsafe Int(nghttp2_session_get_remote_settings(handle, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
    }

    /// Client: true once the server allowed extended CONNECT (RFC 8441).
    public final var peerAllowsExtendedConnect: Bool {
        guard let handle = unsafe handle else { return false }
        return unsafe nghttp2_session_get_remote_settings(handle, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1
    }

    /// Bytes in the HPACK table of our encoder.
    final var encoderTableBytes: Int {
        guard let handle = unsafe handle else { return 0 }
        return unsafe nghttp2_session_get_hd_deflate_dynamic_table_size(handle)
    }

    /// Useless frames received so far.
    public final var glitchCount: Int { guards.glitches }
    /// PING, SETTINGS and GOAWAY frames received so far, acknowledgements aside.
    public final var controlFrameCount: Int { guards.controlFrames }
    /// Streams that the peer reset, or made us reset, so far.
    public final var resetCount: Int { guards.resets }
}
