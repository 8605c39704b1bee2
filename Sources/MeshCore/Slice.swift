import Glibc

/// A chunk that is being filled, owned by one reader until it is frozen into a slice.
@safe
public struct WritableChunk: ~Copyable {
    @usableFromInline let chunk: ChunkPointer

    /// A chunk of `pool`.
    @inlinable
    public init(from pool: ChunkPool) { unsafe chunk = pool.take() }

    deinit { unsafe chunk.release() }

    /// Bytes that fit.
    @inlinable
    public var capacity: Int { unsafe Int(chunk.pointee.capacity) }

    /// The bytes from `offset` on, to be written by the caller.
    ///
    /// SAFETY: valid while this value lives.
    @inlinable
    @unsafe
    public func buffer(from offset: Int = 0) -> UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(start: chunk.bytes + offset, count: capacity &- offset)
    }

    /// The first `count` bytes as an immutable slice; the chunk lives as long as any slice of it.
    @inlinable
    public consuming func freeze(count: Int) -> Slice {
        precondition(count >= 0 && count <= capacity)
        unsafe chunk.retain()
        return unsafe Slice(chunk: chunk, start: chunk.bytes, count: count)
    }
}

/// A run of received or encoded bytes inside a reference-counted chunk. Never empty in a queue.
///
/// Moving a slice costs nothing; ``sub(_:_:)`` and ``takePrefix(_:)`` share the chunk. One loop only.
@frozen
@safe
public struct Slice: ~Copyable {
    @usableFromInline let chunk: ChunkPointer
    @usableFromInline var start: UnsafeMutablePointer<UInt8>
    @usableFromInline var length: Int

    /// Bytes in the slice.
    @inlinable
    public var count: Int { length }

    /// Takes over one reference to `chunk`.
    @inlinable
    init(chunk: ChunkPointer, start: UnsafeMutablePointer<UInt8>, count: Int) {
        unsafe self.chunk = unsafe chunk
        unsafe self.start = unsafe start
        length = count
    }

    @inlinable
    deinit { unsafe chunk.release() }

    /// The bytes.
    @inlinable
    public var span: Span<UInt8> {
        @_lifetime(borrow self)
        get {
            // SAFETY: the slice holds a reference to the chunk, and the span borrows the slice.
            let span = unsafe Span(_unsafeStart: UnsafePointer(start), count: count)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// The bytes as a pointer, for a system call or a C library.
    ///
    /// SAFETY: valid while the slice lives.
    @inlinable
    @unsafe
    public var buffer: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: start, count: count) }

    /// Bytes `offset ..< offset + count` as a slice of their own that shares the chunk.
    @inlinable
    public func sub(_ offset: Int, _ count: Int) -> Slice {
        precondition(offset >= 0 && count >= 0 && offset &+ count <= self.count)
        unsafe chunk.retain()
        return unsafe Slice(chunk: chunk, start: start + offset, count: count)
    }

    /// Cuts the first `count` bytes off and returns them.
    @inlinable
    public mutating func takePrefix(_ count: Int) -> Slice {
        let prefix = sub(0, count)
        dropPrefix(count)
        return prefix
    }

    /// Forgets the first `count` bytes.
    @inlinable
    public mutating func dropPrefix(_ count: Int) {
        precondition(count >= 0 && count <= self.count)
        unsafe start += count
        length &-= count
    }

    /// Grows by `count` bytes that were written right behind it, by the owner of the chunk's unused end.
    @inlinable
    mutating func extend(_ count: Int) { length &+= count }

    /// Bytes that the chunk under this slice occupies.
    @inlinable
    public var pinnedBytes: Int { unsafe Int(chunk.pointee.capacity) }

    /// True if both slices keep the same chunk alive.
    @inlinable
    public func sharesChunk(with other: borrowing Slice) -> Bool { unsafe chunk == other.chunk }

    /// A copy of `bytes` in a chunk of `pool`; at most the pool's chunk capacity.
    @inlinable
    public static func copy(of bytes: Span<UInt8>, in pool: ChunkPool) -> Slice {
        let chunk = unsafe pool.take()
        precondition(bytes.count <= pool.capacity)
        unsafe bytes.withUnsafeBufferPointer { source in
            // SAFETY: the chunk holds at least `bytes.count` bytes, checked above; a fresh chunk overlaps nothing.
            if let from = source.baseAddress { unsafe memcpy(chunk.bytes, from, source.count) }
        }
        return unsafe Slice(chunk: chunk, start: chunk.bytes, count: bytes.count)
    }
}
