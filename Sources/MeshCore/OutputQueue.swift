import Glibc

/// Bytes on their way to a socket or a TLS session: small runs copied side by side, large ones by reference.
///
/// An empty queue holds no chunk, so that an idle connection costs nothing.
@safe
public struct OutputQueue: ~Copyable {
    /// Runs up to this size are cheaper to copy than to reference.
    @inlinable public static var copyLimit: Int { 2048 }

    @usableFromInline var queue = SliceQueue()
    @usableFromInline var tail: ChunkPointer?
    @usableFromInline var used = 0
    @usableFromInline let pools: Link<BufferPools>

    /// An empty queue that takes its chunks from `pools`, which must outlive it.
    public init(pools: BufferPools) {
        self.pools = Link(pools)
        unsafe tail = nil
    }

    deinit { if let tail = unsafe tail { unsafe tail.release() } }

    /// Bytes queued.
    @inlinable
    public var byteCount: Int { queue.byteCount }

    /// Runs queued: the number of I/O vectors that writing all of it takes.
    @inlinable
    public var runCount: Int { queue.count }

    /// True if nothing is queued.
    @inlinable
    public var isEmpty: Bool { queue.isEmpty }

    /// Lets `body` write up to `maximum` bytes (≤ 64 KiB) behind what is queued; it returns how many it wrote.
    @inlinable
    public mutating func write(upTo maximum: Int, _ body: (UnsafeMutablePointer<UInt8>) -> Int) {
        let chunk = unsafe reserve(maximum)
        // SAFETY: `reserve` left room for `maximum` bytes behind `used`.
        let start = unsafe chunk.bytes + used
        let count = unsafe body(start)
        precondition(count >= 0 && count <= maximum)
        if count == 0 { return }
        used &+= count
        if unsafe queue.end == start {
            queue.extendLast(by: count)
        } else {
            unsafe chunk.retain()
            unsafe queue.append(Slice(chunk: chunk, start: start, count: count))
        }
    }

    /// Copies `bytes`, however many.
    @inlinable
    public mutating func append(copying bytes: Span<UInt8>) {
        unsafe bytes.withUnsafeBufferPointer { source in
            guard var from = source.baseAddress else { return }
            var left = source.count
            while left > 0 {
                let count = min(left, 16_384)
                // SAFETY: `from` has `left` bytes to go, and `write` gives room for `count`.
                unsafe write(upTo: count) {
                    unsafe memcpy($0, from, count)
                    return count
                }
                unsafe from += count
                left &-= count
            }
        }
    }

    /// Queues `slice`: copied if it is small, else by reference.
    @inlinable
    public mutating func append(_ slice: consuming Slice) {
        if slice.count <= Self.copyLimit {
            append(copying: slice.span)
        } else {
            queue.append(slice)
        }
    }

    /// The first run, to be written by one `send`. The queue must not be empty.
    ///
    /// SAFETY: valid until the queue changes.
    @inlinable
    @unsafe
    public func firstRun() -> UnsafeRawBufferPointer {
        unsafe queue.withSlice(at: 0) { unsafe $0.buffer }
    }

    /// Fills `vectors` with the first runs and returns how many there are.
    ///
    /// SAFETY: the vectors are valid until the queue changes.
    @inlinable
    @unsafe
    public func fill(_ vectors: UnsafeMutableBufferPointer<iovec>) -> Int {
        let count = min(queue.count, vectors.count)
        var index = 0
        while index < count {
            unsafe vectors[index] = queue.withSlice(at: index) {
                unsafe iovec(
                    iov_base: UnsafeMutableRawPointer(mutating: $0.buffer.baseAddress), iov_len: $0.count)
            }
            index &+= 1
        }
        return count
    }

    /// Forgets the first `count` bytes, which were written.
    @inlinable
    public mutating func drop(_ count: Int) {
        queue.drop(count)
        if queue.isEmpty { releaseTail() }
    }

    /// Takes up to `limit` bytes off the front, to be handed elsewhere.
    @inlinable
    public mutating func takeFirst(upTo limit: Int) -> Slice {
        let slice = queue.takeFirst(upTo: limit)
        if queue.isEmpty { releaseTail() }
        return slice
    }

    /// Forgets everything queued and all memory.
    public mutating func removeAll() {
        queue.removeAll()
        releaseTail()
        queue.releaseStorage()
    }

    /// Frees the slots of an empty queue: for a connection that goes idle.
    @inlinable
    public mutating func shrink() { if queue.isEmpty { queue.releaseStorage() } }

    @usableFromInline
    mutating func releaseTail() {
        if let chunk = unsafe tail {
            unsafe chunk.release()
            unsafe tail = nil
            used = 0
        }
    }

    @inlinable
    mutating func reserve(_ count: Int) -> ChunkPointer {
        if let chunk = unsafe tail, unsafe used &+ count <= Int(chunk.pointee.capacity) { return unsafe chunk }
        return unsafe nextTail(count)
    }

    /// A small chunk while little is queued, so that many slow readers of small answers pin little memory.
    @usableFromInline
    mutating func nextTail(_ count: Int) -> ChunkPointer {
        let small = queue.isEmpty && count <= 4096
        releaseTail()
        let chunk = unsafe pools { pools in unsafe small ? pools.small.take() : pools.medium.take() }
        precondition(unsafe count <= Int(chunk.pointee.capacity))
        unsafe tail = unsafe chunk
        used = 0
        return unsafe chunk
    }
}
