import CNGHTTP2
import MeshCore

// Every function that nghttp2 calls, each only finding its owner and calling a method.
//
// SAFETY, for all of them: the user data of an nghttp2 session is the `HTTP2Session` that owns it and frees it in
// `close` or `deinit`, so it is alive whenever nghttp2 calls, and nghttp2 calls only inside one of our own calls, on
// that thread. Pointers into frames, names and values are valid for the call. No ownership passes.

@inline(__always)
private func owner(_ user: UnsafeMutableRawPointer?) -> Link<HTTP2Session> { unsafe Link(opaque: user!) }

/// The callback table, made once, which lives as long as the process.
@safe
private struct CallbackTable: @unchecked Sendable {
    static let shared = CallbackTable()

    let pointer: OpaquePointer

    private init() {
        var made: OpaquePointer?
        guard unsafe nghttp2_session_callbacks_new(&made) == 0, let table = unsafe made else {
            fatalError("out of memory: nghttp2_session_callbacks_new")
        }
        unsafe pointer = table
        unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(table, blockBegins)
        unsafe nghttp2_session_callbacks_set_on_header_callback(table, fieldReceived)
        unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(table, frameReceived)
        unsafe nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(table, frameInvalid)
        unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(table, dataReceived)
        unsafe nghttp2_session_callbacks_set_on_stream_close_callback(table, streamClosed)
        unsafe nghttp2_session_callbacks_set_on_frame_send_callback(table, frameSent)
        unsafe nghttp2_session_callbacks_set_send_data_callback(table, dataWanted)
    }
}

extension HTTP2Session {
    /// A new nghttp2 session that reports to this object.
    final func makeHandle() -> OpaquePointer {
        var made: OpaquePointer?
        var option: OpaquePointer?
        guard unsafe nghttp2_option_new(&option) == 0 else { fatalError("out of memory: nghttp2_option_new") }
        unsafe nghttp2_option_set_no_auto_window_update(option, 1)
        unsafe nghttp2_option_set_no_closed_streams(option, 1)
        unsafe nghttp2_option_set_peer_max_concurrent_streams(
            option, UInt32(clamping: configuration.maxConcurrentStreams))
        // The guards of this module decide. nghttp2 even counts a CONTINUATION once for every piece that it comes in.
        unsafe nghttp2_option_set_max_continuations(option, 1 << 30)
        unsafe nghttp2_option_set_stream_reset_rate_limit(option, 1 << 40, 1 << 20)
        unsafe nghttp2_option_set_max_outbound_ack(option, configuration.maxQueuedFrames &+ 100_000)
        let table = unsafe CallbackTable.shared.pointer
        let user = unsafe Unmanaged.passUnretained(self).toOpaque()
        let result =
            configuration.role == .server
            ? unsafe nghttp2_session_server_new3(&made, table, user, option, mesh_nghttp2_mem())
            : unsafe nghttp2_session_client_new3(&made, table, user, option, mesh_nghttp2_mem())
        unsafe nghttp2_option_del(option)
        guard result == 0, let handle = unsafe made else { fatalError("out of memory: nghttp2_session_new") }
        return unsafe handle
    }
}

private func blockBegins(
    _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ user: UnsafeMutableRawPointer?
) -> Int32 {
    let frame = unsafe frame!
    return unsafe code(
        owner(user).callAsFunction {
            unsafe $0.blockBegins(frame.pointee.hd.stream_id, category: frame.pointee.headers.cat)
        })
}

private func fieldReceived(
    _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ name: UnsafePointer<UInt8>?,
    _ nameCount: Int, _ value: UnsafePointer<UInt8>?, _ valueCount: Int, _ flags: UInt8,
    _ user: UnsafeMutableRawPointer?
) -> Int32 {
    let name = unsafe Span(_unsafeStart: name!, count: nameCount)
    let value = unsafe Span(_unsafeStart: value!, count: valueCount)
    return unsafe code(owner(user).callAsFunction { $0.fieldReceived(name, value) })
}

private func code(_ answer: HTTP2Session.Answer) -> Int32 {
    switch answer {
    case .proceed: 0
    case .ignoreBlock: NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
    case .stop: NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
    }
}

private func frameReceived(
    _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ user: UnsafeMutableRawPointer?
) -> Int32 {
    unsafe owner(user).callAsFunction { unsafe $0.frameReceived(frame!) }
    return 0
}

private func frameInvalid(
    _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ error: Int32,
    _ user: UnsafeMutableRawPointer?
) -> Int32 {
    unsafe owner(user).callAsFunction { unsafe $0.frameInvalid(frame!, error: error) }
    return 0
}

private func dataReceived(
    _ session: OpaquePointer?, _ flags: UInt8, _ id: Int32, _ bytes: UnsafePointer<UInt8>?, _ count: Int,
    _ user: UnsafeMutableRawPointer?
) -> Int32 {
    unsafe owner(user).callAsFunction { unsafe $0.dataReceived(id, bytes!, count) }
    return 0
}

private func streamClosed(
    _ session: OpaquePointer?, _ id: Int32, _ error: UInt32, _ user: UnsafeMutableRawPointer?
) -> Int32 {
    unsafe owner(user).callAsFunction { $0.streamClosed(id, code: error) }
    return 0
}

private func frameSent(
    _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ user: UnsafeMutableRawPointer?
) -> Int32 {
    unsafe owner(user).callAsFunction { unsafe $0.frameSent(frame!) }
    return 0
}

/// nghttp2 asks how much of a body there is to send.
func provideBody(
    _ session: OpaquePointer?, _ id: Int32, _ buffer: UnsafeMutablePointer<UInt8>?, _ limit: Int,
    _ flags: UnsafeMutablePointer<UInt32>?, _ source: UnsafeMutablePointer<nghttp2_data_source>?,
    _ user: UnsafeMutableRawPointer?
) -> Int {
    let stream = unsafe Link<HTTP2Stream>(opaque: source!.pointee.ptr)
    return unsafe owner(user).callAsFunction { unsafe $0.bodyWanted(stream, limit, flags!) }
}

/// nghttp2 wants a DATA frame written.
private func dataWanted(
    _ session: OpaquePointer?, _ frame: UnsafeMutablePointer<nghttp2_frame>?, _ header: UnsafePointer<UInt8>?,
    _ count: Int, _ source: UnsafeMutablePointer<nghttp2_data_source>?, _ user: UnsafeMutableRawPointer?
) -> Int32 {
    let stream = unsafe Link<HTTP2Stream>(opaque: source!.pointee.ptr)
    unsafe owner(user).callAsFunction { unsafe $0.writeData(stream, header: header!, count) }
    return 0
}
