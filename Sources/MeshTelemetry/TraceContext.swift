import MeshCore
import MeshHTTP
import MeshModel

/// What is done with a trace context that a client sends.
public enum TracePolicy: Sendable, Equatable {
    /// A valid context is forwarded as it is; one that is not valid is removed, as W3C Trace Context §3.3 asks.
    case keep
    /// Both fields are removed: services begin traces of their own, by their own rules of sampling.
    case drop

    /// Strangers do not choose trace ids, nor have services sample more than they want to: `edge` drops. `sidecar`
    /// keeps.
    public init(_ role: Role) {
        switch role {
        case .edge: self = .drop
        case .sidecar: self = .keep
        }
    }
}

/// The position of a request in a trace: `traceparent` of W3C Trace Context (level 1, read strictly).
public struct TraceContext: Sendable, Equatable {
    /// The upper half of the trace id; the halves are not both 0.
    public var traceHigh: UInt64
    /// The lower half of the trace id.
    public var traceLow: UInt64
    /// The id of the span that is the parent of what the receiver does; not 0.
    public var span: UInt64
    /// Bit 0: sampled. The others are kept for the version that knows them.
    public var flags: UInt8

    /// The caller recorded this trace.
    public var isSampled: Bool { flags & 1 == 1 }

    /// The beginning of a new trace.
    public init(sampled: Bool, random: inout Random) {
        traceHigh = random.next()
        // An id of zeros is not valid; one bit fewer of randomness is no loss.
        traceLow = random.next() | 1
        span = random.next() | 1
        flags = sampled ? 1 : 0
    }

    /// The context that `value`, of a `traceparent` field, says; nil if it is not valid.
    ///
    /// Versions above 00 are read as 00 with a tail (§4.3); hexadecimal digits in upper case are not valid (§3.2.2).
    public init?(_ value: Span<UInt8>) {
        guard value.count >= Self.length, value[2] == Self.dash, value[35] == Self.dash, value[52] == Self.dash,
            let version = Self.hex(value, 0, 2), version != 0xFF,
            let high = Self.hex(value, 3, 16), let low = Self.hex(value, 19, 16), high | low != 0,
            let span = Self.hex(value, 36, 16), span != 0, let flags = Self.hex(value, 53, 2)
        else { return nil }
        if value.count > Self.length && (version == 0 || value[Self.length] != Self.dash) { return nil }
        traceHigh = high
        traceLow = low
        self.span = span
        self.flags = UInt8(truncatingIfNeeded: flags)
    }

    /// The context that `head` carries in its one `traceparent` field; nil if there is none, or several, or if it is
    /// not valid.
    public init?(_ head: MessageHead) {
        guard let index = head.firstIndex(of: .traceparent),
            head.firstIndex(of: .traceparent, from: index &+ 1) == nil
        else { return nil }
        self.init(head.span(head[index].valueRange))
    }

    /// The same trace with a new span in it, whose parent is ``span``.
    public func child(random: inout Random) -> TraceContext {
        var child = self
        child.span = random.next() | 1
        return child
    }

    /// Makes this the only `traceparent` of `head`, in version 00; `tracestate` stays.
    public func write(into head: MessageHead) {
        var text: [UInt8] = []
        text.reserveCapacity(Self.length)
        text.put("00-")
        text.put(hex: traceHigh, digits: 16)
        text.put(hex: traceLow, digits: 16)
        text.append(Self.dash)
        text.put(hex: span, digits: 16)
        text.append(Self.dash)
        // Version 00 defines bit 0 only; a sender sets no others (§3.2.2.5.2).
        text.put(hex: UInt64(flags & 1), digits: 2)
        head.set(.traceparent, value: text.span)
    }

    /// Does with a client's context what `policy` says. Costs two searches by interned name when there is none.
    public static func apply(_ policy: TracePolicy, to head: MessageHead) {
        switch policy {
        case .keep:
            if head.firstIndex(of: .traceparent) != nil {
                if TraceContext(head) != nil { return }
                head.removeAll(.traceparent)
            }
            // Without a parent its state means nothing (§3.3.1.1).
            if head.firstIndex(of: .tracestate) != nil { head.removeAll(.tracestate) }
        case .drop:
            if head.firstIndex(of: .traceparent) != nil { head.removeAll(.traceparent) }
            if head.firstIndex(of: .tracestate) != nil { head.removeAll(.tracestate) }
        }
    }

    private static let length = 55
    private static let dash = UInt8(ascii: "-")

    private static func hex(_ bytes: Span<UInt8>, _ start: Int, _ count: Int) -> UInt64? {
        var value: UInt64 = 0
        var index = start
        while index < start &+ count {
            let byte = bytes[index]
            guard byte &- UInt8(ascii: "A") >= 6, let digit = Grammar.hexValue(byte) else { return nil }
            value = value << 4 | UInt64(digit)
            index &+= 1
        }
        return value
    }
}
