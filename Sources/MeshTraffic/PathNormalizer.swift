import MeshCore
import MeshHTTP
import MeshModel

/// Makes one path of all that mean the same, once, before routing: the bytes that rules see are the bytes that the
/// backend sees. Two readings of one path are how access rules get bypassed.
///
/// At the edge: percent-encoded unreserved characters are decoded, the hexadecimal digits of other escapes become
/// capitals (RFC 3986 §6.2.2), dot segments are removed (§5.2.4), and slashes in a row become one, since servers
/// disagree about them, nginx and Envoy's edge profile merge them, and no path of a route can contain them. What has
/// two readings that cannot be reconciled is refused: a path above the root, a backslash, an encoded slash, backslash
/// or NUL, an escape that is none, and dot segments with parameters (`..;x`), which servlet containers resolve.
///
/// At a sidecar: the bytes stay as they are; only NUL and escapes that are none are refused. Queries, `*` and the
/// target of CONNECT are not looked at.
public enum PathNormalizer {
    /// Normalises the path of a request; what stays or becomes of it is in ``MessageHead/pathRange``. A reason if the
    /// request is refused.
    public static func normalize(_ head: MessageHead, role: Role) -> Reason? {
        if head.method == .connect && !head.flags.contains(.extendedConnect) { return nil }
        let target = head.span(head.pathRange)
        if target.count == 1, target[0] == UInt8(ascii: "*") { return nil }
        guard target.count > 0, target[0] == UInt8(ascii: "/") else { return .invalidPath }
        switch role {
        case .sidecar: return isIntact(target) ? nil : .invalidPath
        case .edge: return isNormal(target) ? nil : rewrite(head)
        }
    }

    /// The path of a request without query, normal as at the edge, in the arena of `head`, whose own path stays as it
    /// is. Nil if it has no normal form. Paths that are none (`*`, the target of CONNECT) are as they are.
    static func normalForm(of head: MessageHead) -> ByteRange? {
        let given = head.pathRange
        var range = given
        let target = head.span(given)
        if target.count > 0, target[0] == UInt8(ascii: "/"), !isNormal(target) {
            let reason = rewrite(head)
            range = head.pathRange
            head.pathRange = given
            if reason != nil { return nil }
        }
        return ByteRange(Int(range.offset), Subject.pathLength(head.span(range)))
    }

    /// A path of a route in the form in which requests of this role bring it, so that `/caf%c3%a9` matches what became
    /// `/caf%C3%A9`. A path that no request can have stays as it is.
    static func normal(_ path: String, role: Role) -> String {
        guard role == .edge else { return path }
        let head = MessageHead()
        head.pathRange = head.store(Array(path.utf8).span)
        return normalize(head, role: role) == nil ? text(of: head.span(head.pathRange)) : path
    }

    /// True if there is no NUL and every escape is one.
    private static func isIntact(_ target: Span<UInt8>) -> Bool {
        var index = 0
        while index < target.count {
            let byte = target[index]
            if byte == UInt8(ascii: "?") { break }
            if byte == 0 { return false }
            if byte == UInt8(ascii: "%") {
                guard let value = escape(target, index), value != 0 else { return false }
                index &+= 2
            }
            index &+= 1
        }
        return true
    }

    /// True if a path certainly needs nothing: one pass, and no path without escapes, dots behind slashes or slashes
    /// in a row is looked at twice.
    private static func isNormal(_ target: Span<UInt8>) -> Bool {
        var index = 1
        var afterSlash = true
        while index < target.count {
            let byte = target[index]
            index &+= 1
            // Letters and digits are most of it.
            if byte > UInt8(ascii: "/"), byte != UInt8(ascii: "?"), byte != UInt8(ascii: "\\") {
                afterSlash = false
                continue
            }
            switch byte {
            case UInt8(ascii: "?"): return true
            case UInt8(ascii: "%"), UInt8(ascii: "\\"), 0: return false
            case UInt8(ascii: "/"):
                if afterSlash { return false }
                afterSlash = true
            case UInt8(ascii: "."):
                if afterSlash { return false }
            default: afterSlash = false
            }
        }
        return true
    }

    // MARK: Rewriting

    /// Writes the normal form behind what is in the arena, or finds out why there is none.
    private static func rewrite(_ head: MessageHead) -> Reason? {
        let start = head.byteCount
        let source = head.pathRange
        let pathLength = Subject.pathLength(head.span(source))
        var index = 0
        while index < pathLength {
            // At a slash: write it and the segment behind it, then see what the segment is.
            let segment = head.byteCount
            head.store(UInt8(ascii: "/"))
            index &+= 1
            while index < pathLength, head.span(source)[index] != UInt8(ascii: "/") {
                guard copy(head, source, &index, pathLength) else { return refuse(head, start) }
            }
            let isLast = index == pathLength
            switch kind(head, segment &+ 1) {
            case .name: break
            case .empty: if !isLast { head.discardStored(since: segment) }
            case .dot: head.discardStored(since: isLast ? segment &+ 1 : segment)
            case .twoDots:
                guard let parent = parent(head, start, segment) else { return refuse(head, start) }
                head.discardStored(since: isLast ? parent &+ 1 : parent)
            case .ambiguous: return refuse(head, start)
            }
        }
        let query = ByteRange(Int(source.offset) &+ pathLength, source.count &- pathLength)
        _ = head.store(copyOf: query)
        head.pathRange = head.stored(since: start)
        return nil
    }

    private static func refuse(_ head: MessageHead, _ start: Int) -> Reason {
        head.discardStored(since: start)
        return .invalidPath
    }

    /// Writes the byte or escape at `index` in its normal form; false if it is refused.
    private static func copy(_ head: MessageHead, _ source: ByteRange, _ index: inout Int, _ end: Int) -> Bool {
        let target = head.span(source)
        let byte = target[index]
        if byte == 0 || byte == UInt8(ascii: "\\") { return false }
        guard byte == UInt8(ascii: "%") else {
            head.store(byte)
            index &+= 1
            return true
        }
        guard index &+ 2 < end, let value = escape(target, index) else { return false }
        switch value {
        case 0, UInt8(ascii: "/"), UInt8(ascii: "\\"): return false
        default: break
        }
        index &+= 3
        if isUnreserved(value) {
            head.store(value)
        } else {
            head.store(UInt8(ascii: "%"))
            head.store(hexDigit(value >> 4))
            head.store(hexDigit(value & 15))
        }
        return true
    }

    private enum Segment { case name, empty, dot, twoDots, ambiguous }

    /// What the segment from `start` to the arena's end is.
    private static func kind(_ head: MessageHead, _ start: Int) -> Segment {
        let segment = head.span(head.stored(since: start))
        if segment.count == 0 { return .empty }
        var dots = 0
        while dots < segment.count, segment[dots] == UInt8(ascii: ".") { dots &+= 1 }
        if dots == 0 || dots > 2 { return .name }
        if dots == segment.count { return dots == 1 ? .dot : .twoDots }
        let rest = segment.extracting(droppingFirst: dots)
        if rest[0] == UInt8(ascii: ";") { return .ambiguous }
        return rest.count >= 3 && rest.extracting(first: 3).equals("%3B") ? .ambiguous : .name
    }

    /// Where the slash in front of the segment before `segment` stands, not before `start`; nil if there is none.
    private static func parent(_ head: MessageHead, _ start: Int, _ segment: Int) -> Int? {
        let written = head.span(head.stored(since: start))
        var index = segment &- start
        while index > 0 {
            index &-= 1
            if written[index] == UInt8(ascii: "/") { return start &+ index }
        }
        return nil
    }

    // MARK: Escapes

    /// The value of the escape at `index`, or nil if it is none.
    private static func escape(_ target: Span<UInt8>, _ index: Int) -> UInt8? {
        guard index &+ 2 < target.count, let high = Grammar.hexValue(target[index &+ 1]),
            let low = Grammar.hexValue(target[index &+ 2])
        else { return nil }
        return UInt8(truncatingIfNeeded: high &* 16 &+ low)
    }

    /// RFC 3986 §2.3.
    private static func isUnreserved(_ byte: UInt8) -> Bool {
        (byte | 0x20) &- UInt8(ascii: "a") < 26 || byte &- UInt8(ascii: "0") < 10
            || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_")
            || byte == UInt8(ascii: "~")
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 48 &+ value : 55 &+ value }
}
