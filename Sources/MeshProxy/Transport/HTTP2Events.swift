import MeshHTTP2
import MeshTelemetry

/// What of a session's counters has been reported to the metrics.
struct HTTP2Events {
    private var glitches = 0
    private var resets = 0

    /// Reports what has come since the last time.
    mutating func report(_ session: HTTP2Session, to metrics: LoopMetrics, _ side: PeerSide) {
        if session.glitchCount > glitches {
            metrics.http2(.glitch, side, count: UInt64(session.glitchCount &- glitches))
            glitches = session.glitchCount
        }
        if session.resetCount > resets {
            metrics.http2(.resetReceived, side, count: UInt64(session.resetCount &- resets))
            resets = session.resetCount
        }
    }
}
