import MeshCore
import MeshHTTP

extension Connection {
    /// Moves `pipe` into the output as a body of HTTP/1.1, in `chunked` form or as it is, as far as there is room.
    ///
    /// - Returns: the bytes moved, and whether the body's end, with `trailers` if there are any, went along.
    func sendBody(_ pipe: BodyPipe, trailers: MessageHead, chunked: Bool) -> (taken: Int, finished: Bool) {
        var taken = 0
        while !pipe.isEmpty && output.byteCount < Self.highWatermark {
            let slice = pipe.takeFirst(upTo: Self.highWatermark)
            taken &+= slice.count
            HTTP1Encoder.body(slice, chunked: chunked, into: &output)
        }
        let finished = pipe.isFinished
        if finished && chunked { HTTP1Encoder.lastChunk(trailers: trailers, into: &output) }
        if taken > 0 || finished { setDirty() }
        return (taken, finished)
    }
}
