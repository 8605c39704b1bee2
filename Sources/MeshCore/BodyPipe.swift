/// One direction of a message body between the connection that receives it and the one that sends it on.
///
/// The receiver appends slices and ends the pipe; the sender takes them. Bytes are bounded by the receiver's flow
/// control; the memory that they pin is bounded here: many small slices of large chunks are copied together as soon
/// as they pin more than ``pinLimit``.
public final class BodyPipe {
    /// Chunk memory that one pipe may keep alive before it is compacted, in bytes.
    public static let pinLimit = 768 * 1024

    @usableFromInline var queue = SliceQueue()
    @usableFromInline var pinned = 0
    @usableFromInline let pools: Link<BufferPools>

    @usableFromInline var ended = false

    /// An empty pipe that compacts into chunks of `pools`, which must outlive it.
    public init(pools: BufferPools) { self.pools = Link(pools) }

    /// No byte follows those in the pipe. Trailers, if any, are the owner's to add.
    @inlinable
    public var isEnded: Bool { ended }

    /// Bytes in the pipe.
    @inlinable
    public var byteCount: Int { queue.byteCount }

    /// Nothing to take now.
    @inlinable
    public var isEmpty: Bool { queue.isEmpty }

    /// Nothing to take, now or later.
    @inlinable
    public var isFinished: Bool { isEnded && queue.isEmpty }

    /// Adds received bytes.
    @inlinable
    public func append(_ slice: consuming Slice) {
        var fresh = true
        if queue.count > 0 { fresh = !queue.withSlice(at: queue.count &- 1) { slice.sharesChunk(with: $0) } }
        if fresh { pinned &+= slice.pinnedBytes }
        queue.append(slice)
        if pinned > Self.pinLimit { compact() }
    }

    /// Appends the last `count` bytes of this pipe to `other` too, sharing their memory.
    public func shareLast(_ count: Int, with other: BodyPipe) {
        var skip = queue.byteCount - count
        for index in 0..<queue.count {
            let size = queue.withSlice(at: index) { $0.count }
            if skip >= size {
                skip -= size
                continue
            }
            queue.withSlice(at: index) { other.append($0.sub(skip, size - skip)) }
            skip = 0
        }
    }

    /// Says that no byte follows.
    @inlinable
    public func end() { ended = true }

    /// Takes up to `limit` bytes, all from one chunk. The pipe must not be empty.
    @inlinable
    public func takeFirst(upTo limit: Int) -> Slice {
        let slice = queue.takeFirst(upTo: limit)
        if queue.isEmpty { pinned = 0 }
        return slice
    }

    /// Empties the pipe and makes it new, for the next exchange.
    public func reset() {
        if !queue.isEmpty { queue.removeAll() }
        pinned = 0
        ended = false
    }

    @usableFromInline
    func compact() {
        var fresh = SliceQueue()
        var pinned = 0
        pools { pools in
            let pool = pools.medium
            var room = 0
            var target: WritableChunk? = nil
            while !queue.isEmpty {
                let slice = queue.takeFirst(upTo: .max)
                if slice.count > pool.capacity / 2 {
                    // What was copied before it stays before it.
                    if let begun = target.take() {
                        let count = pool.capacity - room
                        fresh.append(begun.freeze(count: count))
                        room = 0
                    }
                    pinned += slice.pinnedBytes
                    fresh.append(slice)
                    continue
                }
                if slice.count > room || target == nil {
                    if let full = target.take() {
                        let count = pool.capacity - room
                        fresh.append(full.freeze(count: count))
                    }
                    target = WritableChunk(from: pool)
                    room = pool.capacity
                    pinned += pool.capacity
                }
                // SAFETY: `room` bytes are free at the end of the target, at least `slice.count`.
                unsafe target!.buffer(from: pool.capacity - room).copyMemory(from: slice.buffer)
                room -= slice.count
            }
            if let last = target.take() {
                let count = pool.capacity - room
                fresh.append(last.freeze(count: count))
            }
        }
        queue = fresh
        self.pinned = pinned
    }
}
