extension StaticString {
    /// The UTF-8 bytes.
    public var bytes: Span<UInt8> {
        @_lifetime(immortal)
        get {
            // SAFETY: a static string's bytes live as long as the process.
            let span = unsafe Span(_unsafeStart: utf8Start, count: utf8CodeUnitCount)
            return unsafe _overrideLifetime(span, borrowing: ())
        }
    }
}

extension UInt8 {
    /// The ASCII lower-case form.
    @inlinable
    public var lowercased: UInt8 { self &- 65 < 26 ? self | 32 : self }
}

extension Span<UInt8> {
    /// True if the bytes are `other`, ASCII letters compared without case.
    @inlinable
    public func equalsIgnoringCase(_ other: Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        var index = 0
        while index < count {
            if self[index] != other[index] && self[index].lowercased != other[index].lowercased { return false }
            index &+= 1
        }
        return true
    }

    /// True if the bytes are `other`.
    @inlinable
    public func equals(_ other: Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        var index = 0
        while index < count {
            if self[index] != other[index] { return false }
            index &+= 1
        }
        return true
    }
}

extension Span<UInt8> {
    /// The bytes of `range`, which must lie inside.
    @inlinable
    @_lifetime(copy self)
    public func extracting(_ range: ByteRange) -> Span<UInt8> {
        extracting(Int(range.offset)..<(Int(range.offset) &+ range.count))
    }
}

extension Span<UInt8> {
    /// True if the bytes are `text`, ASCII letters compared without case.
    @inlinable
    public func equalsIgnoringCase(_ text: StaticString) -> Bool { equalsIgnoringCase(text.bytes) }

    /// True if the bytes begin with `text`, ASCII letters compared without case.
    public func startsIgnoringCase(with text: StaticString) -> Bool {
        let length = text.utf8CodeUnitCount
        return count >= length && extracting(first: length).equalsIgnoringCase(text)
    }

    /// True if the bytes are `text`.
    @inlinable
    public func equals(_ text: StaticString) -> Bool { equals(text.bytes) }
}
