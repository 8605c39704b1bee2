import COpenSSL
import Glibc
import MeshCore
import Synchronization

/// Keys that encrypt session tickets: what makes resumption work on any loop, and across reloads when the new context
/// is given the old one's keys. Random, never written down, replaced every ``lifetime``; the one before stays good for
/// as long again, so that a ticket is accepted between one and two lifetimes.
public final class TLSTicketKeys: Sendable {
    /// Seconds after which a new key takes over.
    public static let lifetime: Int64 = 3600

    struct Key {
        let name: [UInt8]
        /// 32 bytes for AES-256, 32 for HMAC-SHA256.
        let secret: [UInt8]
        let made: Int64

        init(now: Int64) {
            var bytes = [UInt8](repeating: 0, count: 80)
            guard unsafe RAND_priv_bytes(&bytes, 80) == 1 else { fatalError("no random numbers") }
            name = Array(bytes[..<16])
            secret = Array(bytes[16...])
            made = now
        }
    }

    private struct Ring {
        var current: Key
        var previous: Key?

        mutating func rotate(now: Int64) {
            let age = now - current.made
            guard age >= TLSTicketKeys.lifetime || age < 0 else { return }
            previous = age < 2 * TLSTicketKeys.lifetime && age >= 0 ? current : nil
            current = Key(now: now)
        }
    }

    /// Held for a few nanoseconds per handshake, never per request.
    private let ring: Mutex<Ring>

    /// Fresh keys.
    public convenience init() { self.init(now: Int64(time(nil))) }

    init(now: Int64) { ring = Mutex(Ring(current: Key(now: now), previous: nil)) }

    /// The key to encrypt with.
    func current(now: Int64) -> Key {
        ring.withLock {
            $0.rotate(now: now)
            return $0.current
        }
    }

    /// The key called `name`, nil if it was replaced long ago or never ours.
    func key(named name: UnsafeBufferPointer<UInt8>, now: Int64) -> Key? {
        let (current, previous) = ring.withLock {
            $0.rotate(now: now)
            return ($0.current, $0.previous)
        }
        // SAFETY: OpenSSL hands over 16 bytes for the time of the callback.
        if unsafe name.elementsEqual(current.name) { return current }
        if let previous, unsafe name.elementsEqual(previous.name) { return previous }
        return nil
    }
}
