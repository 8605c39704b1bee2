import MeshCore
import MeshNet

/// How the control plane is reached again and again: name, then each of its addresses in an order of chance, then a
/// pause. Sans I/O: whoever does it says what came of it and is told what to do next.
///
/// A pause is somewhere between 0.2 s and a ceiling that doubles from 1 s to 10 s with each round that failed. So
/// thousands of proxies that lose their control plane at the same moment come back spread over a second, and over ten
/// if that was too many.
struct Dialer {
    /// What to do next.
    enum Step: Equatable {
        /// Ask for the addresses of the name; then ``resolved(_:random:)`` or ``failed(random:)``.
        case resolve
        /// Connect; then ``opened(now:)`` or ``failed(random:)``.
        case connect(SocketAddress)
        /// Wait for so many nanoseconds; then ``begin()``.
        case wait(UInt64)
    }

    /// The shortest pause: 0.2 s.
    static let shortestPause: UInt64 = 200_000_000
    /// The longest pause: 10 s.
    static let longestPause: UInt64 = 10_000_000_000
    private static let firstCeiling: UInt64 = 1_000_000_000
    /// A connection that held for as long as this starts the pauses anew: 10 s.
    private static let stableTime: UInt64 = 10_000_000_000

    private var untried: [SocketAddress] = []
    private var openedAt: Instant?
    /// Rounds that failed in a row.
    private(set) var failures = 0

    /// Starts a round.
    mutating func begin() -> Step {
        untried = []
        openedAt = nil
        return .resolve
    }

    /// The name has these addresses.
    mutating func resolved(_ addresses: [SocketAddress], random: inout Random) -> Step {
        untried = addresses.shuffled(using: &random)
        return failed(random: &random)
    }

    /// The last step came to nothing: the next address, or a pause if none is left.
    mutating func failed(random: inout Random) -> Step {
        if let address = untried.popLast() { return .connect(address) }
        return pause(random: &random)
    }

    /// A connection is usable.
    mutating func opened(now: Instant) {
        untried = []
        openedAt = now
    }

    /// The usable connection is gone.
    mutating func lost(now: Instant, random: inout Random) -> Step {
        if let openedAt, now.nanoseconds(since: openedAt) >= Self.stableTime { failures = 0 }
        openedAt = nil
        return pause(random: &random)
    }

    private mutating func pause(random: inout Random) -> Step {
        let ceiling = min(Self.longestPause, Self.firstCeiling << UInt64(min(failures, 10)))
        failures += 1
        return .wait(UInt64.random(in: Self.shortestPause...ceiling, using: &random))
    }
}

/// When an idle connection is asked whether its other end lives, and when it counts as dead. Sans I/O.
struct Keepalive {
    /// What to do now.
    enum Step: Equatable {
        /// Nothing before this instant.
        case wait(Instant)
        /// Send a ping; look again at this instant.
        case ping(Instant)
        /// Nothing has come since the ping.
        case dead
    }

    /// Silence after which a ping is sent: 15 s.
    static let patience: UInt64 = 15_000_000_000
    /// How long an answer may take: 10 s.
    static let timeout: UInt64 = 10_000_000_000

    private var lastReceived: Instant
    private var pinged: Instant?

    /// A connection that is new at `now`.
    init(now: Instant) { lastReceived = now }

    /// Bytes came.
    mutating func received(now: Instant) {
        lastReceived = now
        pinged = nil
    }

    /// The time to look has come.
    mutating func look(now: Instant) -> Step {
        if let pinged {
            let end = pinged.advanced(byNanoseconds: Self.timeout)
            return now < end ? .wait(end) : .dead
        }
        let due = lastReceived.advanced(byNanoseconds: Self.patience)
        if now < due { return .wait(due) }
        pinged = now
        return .ping(now.advanced(byNanoseconds: Self.timeout))
    }
}
