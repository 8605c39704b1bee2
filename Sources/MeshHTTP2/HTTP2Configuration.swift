import MeshCore

/// What one HTTP/2 connection may do. The defaults are those of the edge: nothing is trusted.
public struct HTTP2Configuration: Sendable {
    /// Which side of the connection a session is.
    public enum Role: Sendable {
        case server, client
    }

    /// A token bucket: so many at once, and so many per second in the long run.
    public struct Rate: Sendable, Equatable {
        /// Tokens of a full bucket.
        public var burst: Int
        /// Tokens that come back each second.
        public var perSecond: Int

        /// A bucket of `burst` tokens that gains `perSecond` of them each second.
        public init(burst: Int, perSecond: Int) {
            self.burst = burst
            self.perSecond = perSecond
        }
    }

    /// Which side the session is.
    public var role: Role
    /// Streams open at a time: advertised by a server, kept to by a client even if its peer allows more.
    public var maxConcurrentStreams = 100
    /// Bytes that the peer may send on a stream before they are consumed.
    public var streamWindow = 65_536
    /// Bytes that the peer may send on all streams together before they are consumed.
    public var connectionWindow = 1024 * 1024
    /// Fields of one head.
    public var maxHeaders = 100
    /// Bytes of one head: names, values and four bytes per field, as it would be in HTTP/1.
    public var maxHeaderBytes = 60 * 1024
    /// Bytes of a request target.
    public var maxTargetBytes = 16 * 1024
    /// Streams that end before their time through the peer: its resets, and ours that it provoked.
    public var resets = Rate(burst: 200, perSecond: 20)
    /// Frames that do no work: empty, unknown, for closed streams, priorities, window updates beyond need.
    public var glitches = Rate(burst: 500, perSecond: 50)
    /// Frames that must be answered or acted on: PING, SETTINGS, GOAWAY.
    public var controlFrames = Rate(burst: 500, perSecond: 100)
    /// Frames waiting to be written, DATA aside; more means that the peer does not read.
    public var maxQueuedFrames = 1000
    /// CONTINUATION frames of one head.
    public var maxContinuations = 8
    /// Server: extended CONNECT (RFC 8441) is advertised and accepted.
    public var extendedConnect = false

    /// The defaults of `role`.
    public init(role: Role) { self.role = role }
}

/// How a stream ended.
public enum StreamEnd: Sendable, Equatable {
    /// Both directions came to their end.
    case complete
    /// The peer reset it with this error code (RFC 9113 §7).
    case reset(code: UInt32)
    /// The peer has not processed it, so that it may be tried again: REFUSED_STREAM, above the last id of a GOAWAY,
    /// or never sent.
    case refused
    /// The owner reset it by ``HTTP2Session/reset(_:code:)``.
    case cancelled
    /// We ended it because of what the peer sent.
    case failed(Reason)
    /// The session is gone.
    case lost
}

/// Error codes of RFC 9113 §7.
public enum HTTP2ErrorCode {
    /// The end, without an error.
    public static let noError: UInt32 = 0
    /// RFC 9113 was broken in a way that no other code names.
    public static let protocolError: UInt32 = 1
    /// The endpoint failed.
    public static let internalError: UInt32 = 2
    /// More was sent than a window allows.
    public static let flowControlError: UInt32 = 3
    /// SETTINGS were not acknowledged in time.
    public static let settingsTimeout: UInt32 = 4
    /// A frame came for a stream that is over.
    public static let streamClosed: UInt32 = 5
    /// A frame has a size that it may not have.
    public static let frameSizeError: UInt32 = 6
    /// The stream was not processed, and may be tried again.
    public static let refusedStream: UInt32 = 7
    /// The stream is not needed any more.
    public static let cancel: UInt32 = 8
    /// The HPACK state is lost.
    public static let compressionError: UInt32 = 9
    /// The connection behind CONNECT failed.
    public static let connectError: UInt32 = 10
    /// The peer asks for too much.
    public static let enhanceYourCalm: UInt32 = 11
    /// The transport is not safe enough.
    public static let inadequateSecurity: UInt32 = 12
    /// The request needs HTTP/1.1.
    public static let http11Required: UInt32 = 13
}
