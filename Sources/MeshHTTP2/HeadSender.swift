import CNGHTTP2
import MeshCore
import MeshHTTP

/// Heads on their way out, as the name-value pairs that nghttp2 copies before a submit call returns.
@unsafe
struct HeadSender {
    // SAFETY, for the whole file: the pairs live in the thread's scratch until the next head is built, and point into
    // the head, which nobody changes before nghttp2 has copied them, and into static strings.

    let pairs: UnsafeMutablePointer<nghttp2_nv>
    private(set) var count = 0

    private init(_ head: MessageHead) {
        // Five pseudo-headers and `te` at most, besides the fields.
        unsafe pairs = mesh_header_scratch(head.fieldCount &+ 6)
    }

    /// The pairs of a request.
    static func request(_ head: MessageHead, scheme: StaticString) -> HeadSender {
        var sender = unsafe HeadSender(head)
        let extended = head.flags.contains(.extendedConnect)
        unsafe sender.append(":method", head, head.methodRange)
        if head.method != .connect || extended {
            unsafe sender.append(":scheme", scheme)
            unsafe sender.append(":path", head, head.pathRange)
        }
        if !head.authorityRange.isEmpty { unsafe sender.append(":authority", head, head.authorityRange) }
        if extended { unsafe sender.append(":protocol", head, head.protocolRange) }
        unsafe sender.appendFields(head)
        if head.flags.contains(.trailersAccepted) { unsafe sender.append("te", "trailers") }
        return unsafe sender
    }

    /// The pairs of a response; `digits` is the text of its status.
    static func response(_ head: MessageHead, digits: UnsafeMutablePointer<UInt8>) -> HeadSender {
        var sender = unsafe HeadSender(head)
        let status = head.status
        unsafe digits[0] = UInt8(truncatingIfNeeded: 48 &+ status / 100 % 10)
        unsafe digits[1] = UInt8(truncatingIfNeeded: 48 &+ status / 10 % 10)
        unsafe digits[2] = UInt8(truncatingIfNeeded: 48 &+ status % 10)
        let name: StaticString = ":status"
        unsafe sender.append(
            UnsafeMutablePointer(mutating: name.utf8Start), name.utf8CodeUnitCount, digits, 3, 0)
        unsafe sender.appendFields(head)
        return unsafe sender
    }

    /// The pairs of trailers, without the fields that may not stand there.
    static func trailers(_ head: MessageHead) -> HeadSender {
        var sender = unsafe HeadSender(head)
        unsafe sender.appendFields(head, areTrailers: true)
        return unsafe sender
    }

    // MARK: Pairs

    /// Every field but those of one connection and Host, which `:authority` replaces. nghttp2 lower-cases the names.
    private mutating func appendFields(_ head: MessageHead, areTrailers: Bool = false) {
        var index = 0
        while index < head.fieldCount {
            let field = head[index]
            index &+= 1
            if field.name != .other {
                if field.name == .removed || field.name == .host || field.name.isHopByHop { continue }
                if areTrailers && field.name.isForbiddenInTrailers { continue }
                if unsafe Self.isUnique(field.name) {
                    unsafe append(
                        head.pointer(field.nameRange), field.nameRange.count, head.pointer(field.valueRange),
                        field.valueRange.count, UInt8(NGHTTP2_NV_FLAG_NO_INDEX.rawValue))
                    continue
                }
            }
            unsafe append(
                head.pointer(field.nameRange), field.nameRange.count, head.pointer(field.valueRange),
                field.valueRange.count, 0)
        }
    }

    /// Values that never come twice, which would only push useful ones out of the HPACK table, and secrets.
    private static func isUnique(_ name: HeaderName) -> Bool {
        switch name {
        case .xRequestID, .traceparent, .grpcTimeout, .authorization, .proxyAuthorization: true
        default: false
        }
    }

    @inline(__always)
    private mutating func append(_ name: StaticString, _ head: MessageHead, _ value: ByteRange) {
        unsafe append(
            UnsafeMutablePointer(mutating: name.utf8Start), name.utf8CodeUnitCount, head.pointer(value), value.count, 0)
    }

    @inline(__always)
    private mutating func append(_ name: StaticString, _ value: StaticString) {
        unsafe append(
            UnsafeMutablePointer(mutating: name.utf8Start), name.utf8CodeUnitCount,
            UnsafeMutablePointer(mutating: value.utf8Start), value.utf8CodeUnitCount, 0)
    }

    @inline(__always)
    private mutating func append(
        _ name: UnsafeMutablePointer<UInt8>, _ nameCount: Int, _ value: UnsafeMutablePointer<UInt8>, _ valueCount: Int,
        _ flags: UInt8
    ) {
        unsafe (pairs + count).initialize(
            to: nghttp2_nv(name: name, value: value, namelen: nameCount, valuelen: valueCount, flags: flags))
        unsafe count &+= 1
    }
}
