import CNGHTTP2
import MeshCore
import MeshHTTP

/// What nghttp2 reports and asks for while frames are written, called by the functions of `Callbacks.swift`.
extension HTTP2Session {
    /// A frame went out.
    final func frameSent(_ frame: UnsafePointer<nghttp2_frame>) {
        let header = unsafe frame.pointee.hd
        if header.type == FrameHeader.data || header.type == FrameHeader.headers {
            if header.flags & FrameHeader.endStream != 0 { stream(header.stream_id)? { $0.outgoingEnded() } }
        } else if header.type == FrameHeader.reset {
            let stream = self.stream(header.stream_id)
            let provoked = stream.map { $0 { $0.state.isDisjoint(with: [.cancelled, .lost]) } } ?? false
            if provoked, case .fail(let code, let reason) = guards.countReset() { fail(code, reason) }
        } else if header.type == FrameHeader.goaway {
            guards.lastAccepted = unsafe frame.pointee.goaway.last_stream_id
            let code = unsafe frame.pointee.goaway.error_code
            // nghttp2 found a connection error that nothing above reported.
            if code != HTTP2ErrorCode.noError && failure == nil && !endedByOwner { failure = .http2ProtocolError }
        }
    }

    /// How much of the body goes into the next DATA frame, at most `limit` bytes.
    final func bodyWanted(_ link: Link<HTTP2Stream>, _ limit: Int, _ flags: UnsafeMutablePointer<UInt32>) -> Int {
        guard let sink = unsafe sink, unsafe sink.pointee.byteCount < sinkLimit else {
            return Int(NGHTTP2_ERR_PAUSE.rawValue)
        }
        return link { stream in
            guard let outgoing = stream.outgoing else { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
            let (available, ended) = outgoing { ($0.byteCount, $0.isEnded) }
            if available == 0 && !ended {
                stream.state.insert(.deferred)
                return Int(NGHTTP2_ERR_DEFERRED.rawValue)
            }
            unsafe flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
            let count = min(available, limit)
            if ended && count == available {
                unsafe flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
                // Without fields there are none: a HEADERS frame that says nothing is a glitch to who receives it.
                if let trailers = stream.outgoingTrailers, trailers({ $0.fieldCount }) > 0 {
                    unsafe flags.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
                    submit(trailers: trailers, of: stream)
                }
            }
            return count
        }
    }

    private final func submit(trailers: Link<MessageHead>, of stream: HTTP2Stream) {
        guard let handle = unsafe handle else { return }
        trailers { head in
            let pairs = unsafe HeadSender.trailers(head)
            unsafe nghttp2_submit_trailer(handle, stream.id, pairs.pairs, pairs.count)
        }
    }

    /// Writes a DATA frame: its header, and `count` bytes of the body, which `bodyWanted` has just promised.
    final func writeData(_ link: Link<HTTP2Stream>, header: UnsafePointer<UInt8>, _ count: Int) {
        guard let sink = unsafe sink else { return }
        guards.noteData()
        // SAFETY: the frame header is nghttp2's, 9 bytes; `sink` is the queue of the flush in progress.
        unsafe sink.pointee.append(copying: Span(_unsafeStart: header, count: FrameHeader.size))
        link { stream in
            guard count > 0, let outgoing = stream.outgoing else { return }
            outgoing { pipe in
                var left = count
                while left > 0 {
                    let slice = pipe.takeFirst(upTo: left)
                    left &-= slice.count
                    unsafe sink.pointee.append(slice)
                }
            }
            stream.outgoingTaken(count: count)
        }
    }
}
