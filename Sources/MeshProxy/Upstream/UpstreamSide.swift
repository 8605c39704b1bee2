import MeshCore
import MeshHTTP

/// The endpoint's side of one attempt: an HTTP/1.1 connection or an HTTP/2 stream, as seen by the exchange.
enum UpstreamSide {
    /// No attempt is under way.
    case none
    case http1(Link<HTTP1Upstream>)
    case http2(Link<HTTP2UpstreamStream>)

    /// True if there is none.
    var isNone: Bool {
        switch self {
        case .none: true
        case .http1, .http2: false
        }
    }

    /// There is more in the request pipe, or it ended.
    func sendBody() {
        switch self {
        case .none: break
        case .http1(let link): link { $0.sendBody() }
        case .http2(let link): link { $0.sendBody() }
        }
    }

    /// `count` bytes of the response pipe were handed on: more may be received.
    func responseTaken(_ count: Int) {
        switch self {
        case .none: break
        case .http1(let link): link { $0.connection { $0.worker.resume($0) } }
        case .http2(let link): link { $0.consume(count) }
        }
    }

    /// Bytes of the request that wait outside the request pipe.
    var queuedBytes: Int {
        switch self {
        case .none, .http2: 0
        case .http1(let link): link { $0.connection { $0.queuedBytes } }
        }
    }

    /// From here on it serves `exchange`, which has its request sent and awaits the head's end.
    func move(to exchange: Exchange) {
        switch self {
        case .none: break
        case .http1(let link): link { $0.move(to: exchange) }
        case .http2(let link): link { $0.move(to: exchange) }
        }
    }

    /// Lets go: the connection goes back to its pool if `reusable`, else it or its stream ends.
    func release(reusable: Bool) {
        switch self {
        case .none: break
        case .http1(let link): link { $0.release(reusable: reusable) }
        case .http2(let link): link { $0.release() }
        }
    }
}
