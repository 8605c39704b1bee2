import Glibc
import MeshCore

/// A run of bytes inside a ``MessageHead``.
@frozen
public struct ByteRange: Sendable, Equatable {
    /// Where the run starts, from the head's first byte.
    public var offset: UInt32
    /// How many bytes it has.
    public var length: UInt32

    /// `length` bytes from `offset`; both must fit 32 bits.
    @inlinable
    public init(_ offset: Int, _ length: Int) {
        self.offset = UInt32(truncatingIfNeeded: offset)
        self.length = UInt32(truncatingIfNeeded: length)
    }

    /// No bytes.
    public static let empty = ByteRange(0, 0)

    /// True if there are no bytes.
    @inlinable
    public var isEmpty: Bool { length == 0 }

    /// How many bytes there are.
    @inlinable
    public var count: Int { Int(length) }
}

/// One header field: where its name and its value stand, and which name it is.
@frozen
public struct HeaderField: Sendable {
    /// The name as received (HTTP/1) or in lower case (HTTP/2).
    public var nameRange: ByteRange
    /// The value without surrounding white space.
    public var valueRange: ByteRange
    /// The interned name; `removed` if the field is gone.
    public var name: HeaderName

    /// A field of which all parts are known.
    @inlinable
    public init(name: HeaderName, nameRange: ByteRange, valueRange: ByteRange) {
        self.name = name
        self.nameRange = nameRange
        self.valueRange = valueRange
    }
}

/// Request methods that the proxy treats differently from others.
public enum Method: UInt8, Sendable {
    case get, head, post, put, delete, connect, options, trace, patch, other
}

/// The version of HTTP that a message arrived in.
public enum Version: UInt8, Sendable {
    case http10, http11, http2
}

/// How many body bytes follow a head.
public enum BodyLength: Sendable, Equatable {
    /// No body.
    case none
    /// Exactly this many bytes, at least one.
    case known(Int)
    /// As many as come: chunked, until close, or HTTP/2 without Content-Length.
    case unknown
}

/// What a head says beyond its fields.
public struct MessageFlags: OptionSet, Sendable {
    /// One bit per fact.
    public let rawValue: UInt16
    /// The facts of these bits.
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    /// HTTP/1: the connection ends with this message (`Connection: close`, or HTTP/1.0 without keep-alive).
    public static let close = MessageFlags(rawValue: 1)
    /// HTTP/1: `Connection: upgrade` with an `Upgrade` field.
    public static let upgrade = MessageFlags(rawValue: 2)
    /// `Expect: 100-continue`.
    public static let expectContinue = MessageFlags(rawValue: 4)
    /// `Transfer-Encoding: chunked`.
    public static let chunked = MessageFlags(rawValue: 8)
    /// `TE: trailers`.
    public static let trailersAccepted = MessageFlags(rawValue: 16)
    /// Content-Type begins with `application/grpc`.
    public static let grpc = MessageFlags(rawValue: 32)
    /// HTTP/2: `:protocol` was given (RFC 8441).
    public static let extendedConnect = MessageFlags(rawValue: 64)
    /// HTTP/1: the target was `*` or in absolute form.
    public static let absoluteForm = MessageFlags(rawValue: 128)
}

/// A request or response head, or trailers: bytes in one arena and a table of ranges over them.
///
/// Reused for message after message. Codecs fill it, routing reads it, filters edit it, codecs write it out. Edits
/// append to the arena and never move what is there. One loop only.
@safe
public final class MessageHead {
    @usableFromInline var arena: UnsafeMutablePointer<UInt8>
    @usableFromInline var table: UnsafeMutablePointer<HeaderField>
    private var arenaCapacity: Int
    private var tableCapacity: Int
    /// Bytes in the arena.
    public private(set) var byteCount = 0
    /// Entries in the field table, removed ones included.
    public private(set) var fieldCount = 0

    /// Request: the method.
    public var method = Method.other
    /// Request: the method's text.
    public var methodRange = ByteRange.empty
    /// Request: path and query as they are routed and forwarded, beginning with `/`, or `*`.
    public var pathRange = ByteRange.empty
    /// Request: host and optional port, from the target or Host or `:authority`; empty in HTTP/1.0 without Host.
    public var authorityRange = ByteRange.empty
    /// Request over HTTP/2 or in absolute form: the scheme.
    public var schemeRange = ByteRange.empty
    /// Request over HTTP/2 with extended CONNECT: `:protocol`.
    public var protocolRange = ByteRange.empty
    /// Response: the status code; 0 for requests and trailers.
    public var status = 0
    /// The version that the message arrived in.
    public var version = Version.http11
    /// The body that follows.
    public var bodyLength = BodyLength.none
    /// What the fields say in sum.
    public var flags: MessageFlags = []

    /// An empty head.
    public init() {
        arenaCapacity = Self.smallArena
        tableCapacity = Self.smallTable
        unsafe arena = .allocate(capacity: arenaCapacity)
        unsafe table = .allocate(capacity: tableCapacity)
    }

    deinit {
        unsafe arena.deallocate()
        unsafe table.deallocate()
    }

    private static let smallArena = 2048
    private static let smallTable = 40

    /// Empties the head for the next message; memory beyond the usual is given back.
    public func reset() {
        byteCount = 0
        fieldCount = 0
        method = .other
        methodRange = .empty
        pathRange = .empty
        authorityRange = .empty
        schemeRange = .empty
        protocolRange = .empty
        status = 0
        version = .http11
        bodyLength = .none
        flags = []
        if arenaCapacity > 4 * Self.smallArena { resizeArena(Self.smallArena) }
    }

    // MARK: Reading

    /// The bytes of `range`.
    @inlinable
    @_lifetime(borrow self)
    public func span(_ range: ByteRange) -> Span<UInt8> {
        precondition(Int(range.offset) &+ range.count <= byteCount)
        // SAFETY: inside the arena, checked above; the arena lives as long as the head, which the span borrows.
        let span = unsafe Span(_unsafeStart: UnsafePointer(arena + Int(range.offset)), count: range.count)
        return unsafe _overrideLifetime(span, borrowing: self)
    }

    /// The bytes of `range` as a pointer, for a C library that copies them.
    ///
    /// SAFETY: valid until the head changes.
    @inlinable
    @unsafe
    public func pointer(_ range: ByteRange) -> UnsafeMutablePointer<UInt8> { unsafe arena + Int(range.offset) }

    /// Field `index` of ``fieldCount``; check for `removed`.
    @inlinable
    public subscript(index: Int) -> HeaderField {
        get {
            precondition(index >= 0 && index < fieldCount)
            return unsafe table[index]
        }
        set {
            precondition(index >= 0 && index < fieldCount)
            unsafe table[index] = newValue
        }
    }

    /// The index of the first field called `name` from `start` on, or nil.
    @inlinable
    public func firstIndex(of name: HeaderName, from start: Int = 0) -> Int? {
        var index = start
        while index < fieldCount {
            if unsafe table[index].name == name { return index }
            index &+= 1
        }
        return nil
    }

    /// The index of the first field whose name is `name`, compared without case, or nil.
    public func firstIndex(named name: Span<UInt8>, from start: Int = 0) -> Int? {
        var index = start
        while index < fieldCount {
            let field = unsafe table[index]
            if field.name != .removed, field.nameRange.count == name.count,
                span(field.nameRange).equalsIgnoringCase(name)
            {
                return index
            }
            index &+= 1
        }
        return nil
    }

    /// The index of the first field called `text`, whose interned form is `name`, from `start` on, or nil.
    public func firstIndex(of name: HeaderName, text: Span<UInt8>, from start: Int = 0) -> Int? {
        name == .other ? firstIndex(named: text, from: start) : firstIndex(of: name, from: start)
    }

    // MARK: Writing

    /// Copies `bytes` into the arena.
    public func store(_ bytes: Span<UInt8>) -> ByteRange {
        let range = ByteRange(byteCount, bytes.count)
        unsafe bytes.withUnsafeBufferPointer { source in
            guard let from = source.baseAddress else { return }
            // SAFETY: `reserve` made room; `source` may be a span of this very arena, which `reserve` may move, but a
            // span borrows the head, so that such a call needs the range form below.
            unsafe memcpy(reserve(source.count), from, source.count)
            byteCount &+= source.count
        }
        return range
    }

    /// Lets `body` write up to `maximum` bytes at the arena's end; it returns how many it wrote.
    public func store(upTo maximum: Int, _ body: (UnsafeMutablePointer<UInt8>) -> Int) -> ByteRange {
        let start = byteCount
        let count = unsafe body(reserve(maximum))
        precondition(count >= 0 && count <= maximum)
        byteCount &+= count
        return ByteRange(start, count)
    }

    /// Appends a copy of bytes that are in the arena already, and which a span must not lend while the arena grows.
    public func store(copyOf range: ByteRange) -> ByteRange {
        precondition(Int(range.offset) &+ range.count <= byteCount)
        let start = byteCount
        let target = unsafe reserve(range.count)
        // SAFETY: `reserve` made room behind `byteCount`, and `range` ends before it, checked above.
        unsafe memcpy(target, arena + Int(range.offset), range.count)
        byteCount &+= range.count
        return ByteRange(start, range.count)
    }

    /// Appends one byte.
    public func store(_ byte: UInt8) {
        let target = unsafe reserve(1)
        // SAFETY: `reserve` made room for it.
        unsafe target.pointee = byte
        byteCount &+= 1
    }

    /// What was stored since ``byteCount`` was `start`, as one run.
    public func stored(since start: Int) -> ByteRange {
        precondition(start >= 0 && start <= byteCount)
        return ByteRange(start, byteCount &- start)
    }

    /// Takes back what was stored since ``byteCount`` was `start`; no range may point there.
    public func discardStored(since start: Int) {
        precondition(start >= 0 && start <= byteCount)
        byteCount = start
    }

    /// Replaces the arena's bytes by `bytes`, over which the fields appended so far were computed.
    func load(_ bytes: Span<UInt8>) {
        byteCount = 0
        _ = store(bytes)
    }

    /// Appends a field whose bytes are in the arena already.
    public func append(_ field: HeaderField) {
        if fieldCount == tableCapacity { growTable() }
        unsafe (table + fieldCount).initialize(to: field)
        fieldCount &+= 1
    }

    /// Appends a field, its name interned.
    public func append(name: Span<UInt8>, value: Span<UInt8>) {
        append(HeaderField(name: .intern(name), nameRange: store(name), valueRange: store(value)))
    }

    /// Appends a field with a known name.
    public func append(_ name: HeaderName, value: Span<UInt8>) {
        append(HeaderField(name: name, nameRange: store(name.text.bytes), valueRange: store(value)))
    }

    /// Appends a field with a known name and a value that is in the arena already.
    public func append(_ name: HeaderName, value: ByteRange) {
        append(HeaderField(name: name, nameRange: store(name.text.bytes), valueRange: value))
    }

    /// Appends a field from its line, `name: value` with a name of `nameCount` bytes: one copy in, one copy out.
    public func append(_ name: HeaderName, line: Span<UInt8>, nameCount: Int) {
        precondition(nameCount >= 0 && nameCount &+ 2 <= line.count)
        let range = store(line)
        let start = Int(range.offset)
        append(
            HeaderField(
                name: name, nameRange: ByteRange(start, nameCount),
                valueRange: ByteRange(start &+ nameCount &+ 2, line.count &- nameCount &- 2)))
    }

    /// Deletes field `index`.
    @inlinable
    public func remove(at index: Int) { self[index].name = .removed }

    /// Deletes every field called `name`.
    public func removeAll(_ name: HeaderName) {
        var index = firstIndex(of: name)
        while let found = index {
            remove(at: found)
            index = firstIndex(of: name, from: found &+ 1)
        }
    }

    /// Deletes every field whose name is `name`, compared without case.
    public func removeAll(named name: Span<UInt8>) {
        var index = firstIndex(named: name)
        while let found = index {
            remove(at: found)
            index = firstIndex(named: name, from: found &+ 1)
        }
    }

    /// Makes `value` the only value of the field called `name`.
    public func set(_ name: HeaderName, value: Span<UInt8>) {
        removeAll(name)
        append(name, value: value)
    }

    /// Makes this head a copy of `other`.
    public func copy(from other: MessageHead) {
        reset()
        // SAFETY: both reservations hold what is copied; the heads are different objects with memory of their own.
        unsafe memcpy(reserve(other.byteCount), other.arena, other.byteCount)
        byteCount = other.byteCount
        while tableCapacity < other.fieldCount { growTable() }
        unsafe memcpy(table, other.table, other.fieldCount &* MemoryLayout<HeaderField>.stride)
        fieldCount = other.fieldCount
        method = other.method
        methodRange = other.methodRange
        pathRange = other.pathRange
        authorityRange = other.authorityRange
        schemeRange = other.schemeRange
        protocolRange = other.protocolRange
        status = other.status
        version = other.version
        bodyLength = other.bodyLength
        flags = other.flags
    }

    // MARK: Memory

    private func reserve(_ count: Int) -> UnsafeMutablePointer<UInt8> {
        if byteCount &+ count > arenaCapacity { resizeArena(max(byteCount &+ count, arenaCapacity &* 2)) }
        return unsafe arena + byteCount
    }

    private func resizeArena(_ capacity: Int) {
        let fresh = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        // SAFETY: the new arena is at least as large as what is kept.
        unsafe memcpy(fresh, arena, byteCount)
        unsafe arena.deallocate()
        unsafe arena = fresh
        arenaCapacity = capacity
    }

    private func growTable() {
        let fresh = UnsafeMutablePointer<HeaderField>.allocate(capacity: tableCapacity &* 2)
        unsafe fresh.moveInitialize(from: table, count: fieldCount)
        unsafe table.deallocate()
        unsafe table = fresh
        tableCapacity &*= 2
    }
}
