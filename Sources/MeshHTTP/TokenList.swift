/// Comma-separated lists of tokens (RFC 9110 §5.6.1).
public enum TokenList {
    /// True if one element of `list` is `token`, compared without case.
    public static func contains(_ list: Span<UInt8>, _ token: StaticString) -> Bool {
        var rest = 0
        while let element = next(list, &rest) {
            if list.extracting(element).equalsIgnoringCase(token) { return true }
        }
        return false
    }

    /// The next element of `list` from `position` on without white space, or nil at the end; empty ones are skipped.
    public static func next(_ list: Span<UInt8>, _ position: inout Int) -> ByteRange? {
        while position < list.count {
            var start = position
            while position < list.count, list[position] != UInt8(ascii: ",") { position &+= 1 }
            var end = position
            position &+= 1
            while start < end, list[start] == 0x20 || list[start] == 0x09 { start &+= 1 }
            while end > start, list[end &- 1] == 0x20 || list[end &- 1] == 0x09 { end &-= 1 }
            if end > start { return ByteRange(start, end &- start) }
        }
        return nil
    }
}
