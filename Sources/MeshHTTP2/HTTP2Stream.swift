import MeshCore
import MeshHTTP

/// One stream of a session. The owner subclasses it, gets the events, and pools it.
///
/// The session holds a reference from ``HTTP2Session/openStream()`` or a successful
/// ``HTTP2Session/submitRequest(_:_:scheme:hasBody:)`` until ``closed(_:)`` returns. All events come on the session's
/// loop, inside `receive`, `flush` or `close`; inside them every verb of every session may be called, but not
/// `receive`, `flush` and `close`.
open class HTTP2Stream {
    /// The stream's number; 0 while it is not open.
    public final internal(set) var id: Int32 = 0
    /// Why the head cannot be served: it is larger than allowed, or asks for what cannot be. Set before
    /// ``headReceived()``; the head then holds only what fits, and the owner answers with this reason.
    public final internal(set) var rejection: Reason?

    // MARK: Links that the owner sets

    /// Where a received head goes. Without it the session takes no head, and refuses the stream.
    public final var head: Link<MessageHead>?
    /// Where received trailers go; nil drops them.
    public final var trailers: Link<MessageHead>?
    /// Where the received body goes; nil drops it.
    public final var body: Link<BodyPipe>?
    /// Where the body to send comes from. Once the pipe is ended and drained, the stream's direction ends.
    public final var outgoing: Link<BodyPipe>?
    /// Trailers to send at the end of the body, if they have fields; looked at when `outgoing` is drained.
    public final var outgoingTrailers: Link<MessageHead>?

    // MARK: State of the session

    final var previous: Link<HTTP2Stream>?
    final var next: Link<HTTP2Stream>?
    final var state: StreamState = []
    final var peerCode: UInt32 = 0
    final var failure: Reason?
    /// Received body bytes that were not consumed yet.
    final var unconsumed = 0

    /// A stream that is not open.
    public init() {}

    // MARK: Events

    /// The head is complete in ``head``: fields, method, status, `bodyLength`, flags. `bodyLength` is `.none` if no
    /// body byte will come, `.unknown` unless Content-Length says more. Client: also for each 1xx.
    open func headReceived() {}

    /// `count` bytes were appended to ``body``.
    open func bodyReceived(count: Int) {}

    /// The peer's direction is over; the body pipe is ended and ``trailers`` are complete if `hasTrailers`. Comes once
    /// for each stream whose end arrives in order, right after ``headReceived()`` if the head ended it.
    open func ended(hasTrailers: Bool) {}

    /// `count` bytes of ``outgoing`` went into the output.
    open func outgoingTaken(count: Int) {}

    /// Our direction is over: END_STREAM went into the output, with the last body byte, trailers or a head alone.
    open func outgoingEnded() {}

    /// The last event: the stream is over, ``id`` is 0, and the session forgets it when this returns. Body bytes not
    /// consumed by now need not be.
    open func closed(_ end: StreamEnd) {}

    // MARK: Session only

    /// Makes the stream new; the owner's links stay.
    final func begin(id: Int32) {
        self.id = id
        rejection = nil
        state = []
        peerCode = 0
        failure = nil
        unconsumed = 0
        previous = nil
        next = nil
    }
}

/// What the session remembers about a stream beyond what nghttp2 does.
struct StreamState: OptionSet {
    let rawValue: UInt16
    /// The peer's direction ended, by END_STREAM or by a reset.
    static let peerEnded = StreamState(rawValue: 1)
    /// The peer reset it.
    static let peerReset = StreamState(rawValue: 2)
    /// The owner reset it.
    static let cancelled = StreamState(rawValue: 4)
    /// nghttp2 waits for more body to send.
    static let deferred = StreamState(rawValue: 8)
    /// Client: the request method is HEAD.
    static let headRequest = StreamState(rawValue: 16)
    /// The request, or the final response, arrived: what follows are trailers.
    static let headComplete = StreamState(rawValue: 32)
    /// Server: the response was submitted.
    static let responded = StreamState(rawValue: 64)
    /// The connection ended under it.
    static let lost = StreamState(rawValue: 128)
}
