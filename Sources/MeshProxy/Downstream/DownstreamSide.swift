import MeshCore
import MeshHTTP

/// The client's side of an exchange: an HTTP/1.1 connection or an HTTP/2 stream, as seen by the exchange. A closed enum
/// of links: a call costs a branch, no retain.
enum DownstreamSide {
    /// The client is gone, or there never was one (a mirrored request).
    case none
    case http1(Link<HTTP1Downstream>)
    case http2(Link<HTTP2DownstreamStream>)

    /// Who asks, over which listener.
    func withOrigin<Result>(_ body: (DownstreamOrigin, Connection) -> Result) -> Result? {
        switch self {
        case .none: nil
        case .http1(let link): link { downstream in downstream.connection { body(downstream.origin, $0) } }
        case .http2(let link):
            link { stream in
                stream.downstream { downstream in
                    downstream.connection { body(downstream.origin, $0) }
                }
            }
        }
    }

    /// Sends a 1xx head.
    func inform(_ head: MessageHead) {
        switch self {
        case .none: break
        case .http1(let link): link { $0.inform(head) }
        case .http2(let link): link { $0.inform(head) }
        }
    }

    /// Sends the final head; the exchange's response pipe follows if `hasBody`.
    func respond(_ head: MessageHead, to request: MessageHead, hasBody: Bool) {
        switch self {
        case .none: break
        case .http1(let link): link { $0.respond(head, to: request, hasBody: hasBody) }
        case .http2(let link): link { $0.respond(head, hasBody: hasBody) }
        }
    }

    /// Sends the head that opens a tunnel.
    func openTunnel(_ head: MessageHead) {
        switch self {
        case .none: break
        case .http1(let link): link { $0.upgrade(head) }
        case .http2(let link): link { $0.respond(head, hasBody: true) }
        }
    }

    /// There is more in the response pipe, or it ended.
    func sendBody() {
        switch self {
        case .none: break
        case .http1(let link): link { $0.sendBody() }
        case .http2(let link): link { $0.sendBody() }
        }
    }

    /// `count` bytes of the request pipe were handed on: more may be received.
    func requestTaken(_ count: Int) {
        switch self {
        case .none: break
        case .http1(let link): link { $0.connection { $0.worker.resume($0) } }
        case .http2(let link): link { $0.consume(count) }
        }
    }

    /// Bytes of the response that wait outside the response pipe.
    var queuedBytes: Int {
        switch self {
        case .none, .http2: 0
        case .http1(let link): link { $0.connection { $0.queuedBytes } }
        }
    }

    /// What the client sends is not to be trusted further: an HTTP/1.1 connection ends with this exchange.
    func endAfterExchange() {
        switch self {
        case .none, .http2: break
        case .http1(let link): link { $0.endAfterExchange() }
        }
    }

    /// Cuts the response off.
    func abort() {
        switch self {
        case .none: break
        case .http1(let link): link { $0.abort() }
        case .http2(let link): link { $0.abort() }
        }
    }

    /// The exchange is over; the side may be used for the next one.
    func exchangeEnded() {
        switch self {
        case .none: break
        case .http1(let link): link { $0.exchangeEnded() }
        case .http2(let link): link { $0.exchangeEnded() }
        }
    }
}
