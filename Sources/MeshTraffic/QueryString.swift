import MeshCore
import MeshHTTP

/// Query parameters as applications read them: `name=value` separated by `&`, `%XX` decoded, `+` a space (WHATWG URL
/// §5.1, `application/x-www-form-urlencoded`). A route that compared the raw bytes would send `?name=J%6Fe` elsewhere
/// than `?name=Joe`, though the application behind it sees the same. An escape that is broken stands for itself, and a
/// parameter without `=` has an empty value.
enum QueryString {
    /// Where the value of the first parameter called `name` stands in `query`, or nil if there is none. Of several the
    /// first counts, as the standard recommends.
    static func value(of name: Span<UInt8>, in query: Span<UInt8>) -> ByteRange? {
        var start = 0
        while start < query.count {
            var equals = -1
            var end = start
            while end < query.count, query[end] != UInt8(ascii: "&") {
                if equals < 0, query[end] == UInt8(ascii: "=") { equals = end }
                end &+= 1
            }
            let nameEnd = equals < 0 ? end : equals
            if nameEnd > start, decodes(query.extracting(start..<nameEnd), to: name) {
                let value = equals < 0 ? end : equals &+ 1
                return ByteRange(value, end &- value)
            }
            start = end &+ 1
        }
        return nil
    }

    /// True if the decoded form of `text` is `wanted`.
    static func decodes(_ text: Span<UInt8>, to wanted: Span<UInt8>) -> Bool {
        var position = 0
        var index = 0
        while position < text.count {
            guard index < wanted.count, next(text, &position) == wanted[index] else { return false }
            index &+= 1
        }
        return index == wanted.count
    }

    /// The decoded byte at `position`, which moves behind it; there must be one.
    @inline(__always)
    static func next(_ text: Span<UInt8>, _ position: inout Int) -> UInt8 {
        let byte = text[position]
        position &+= 1
        if byte == UInt8(ascii: "+") { return UInt8(ascii: " ") }
        guard byte == UInt8(ascii: "%"), position &+ 1 < text.count, let high = Grammar.hexValue(text[position]),
            let low = Grammar.hexValue(text[position &+ 1])
        else { return byte }
        position &+= 2
        return UInt8(truncatingIfNeeded: high &* 16 &+ low)
    }
}
