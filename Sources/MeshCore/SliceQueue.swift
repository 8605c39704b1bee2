/// Slices first in, first out. Empty queues hold no memory once ``releaseStorage()`` was called.
@safe
public struct SliceQueue: ~Copyable {
    @usableFromInline var storage: UnsafeMutablePointer<Slice>?
    @usableFromInline var capacity = 0
    @usableFromInline var head = 0
    @usableFromInline var tail = 0
    @usableFromInline var bytes = 0

    /// An empty queue.
    @inlinable
    public init() { unsafe storage = nil }

    deinit {
        // SAFETY: slots head ..< tail are initialised, everything else is not.
        if let storage = unsafe storage {
            unsafe (storage + head).deinitialize(count: tail - head)
            unsafe storage.deallocate()
        }
    }

    /// Bytes in all slices together.
    @inlinable
    public var byteCount: Int { bytes }

    /// Slices in the queue.
    @inlinable
    public var count: Int { tail &- head }

    /// True if there are no bytes.
    @inlinable
    public var isEmpty: Bool { tail == head }

    /// Adds a slice at the end; an empty one is dropped.
    @inlinable
    public mutating func append(_ slice: consuming Slice) {
        guard slice.count > 0 else { return }
        if tail == capacity { makeRoom() }
        bytes &+= slice.count
        // SAFETY: `makeRoom` left at least one free slot at `tail`.
        unsafe (storage! + tail).initialize(to: slice)
        tail &+= 1
    }

    /// Takes up to `limit` bytes off the front, all from one slice. The queue must not be empty.
    @inlinable
    public mutating func takeFirst(upTo limit: Int) -> Slice {
        precondition(head < tail)
        let first = unsafe storage! + head
        if unsafe first.pointee.count <= limit {
            let slice = unsafe first.move()
            bytes &-= slice.count
            head &+= 1
            if head == tail { rewind() }
            return slice
        }
        bytes &-= limit
        return unsafe first.pointee.takePrefix(limit)
    }

    /// Forgets the first `count` bytes.
    @inlinable
    public mutating func drop(_ count: Int) {
        var left = count
        while left > 0 {
            let slice = takeFirst(upTo: left)
            left &-= slice.count
        }
    }

    /// Forgets everything.
    public mutating func removeAll() {
        if let storage = unsafe storage { unsafe (storage + head).deinitialize(count: tail - head) }
        bytes = 0
        rewind()
    }

    /// Frees the slots of an empty queue, so that an idle connection holds nothing.
    @inlinable
    public mutating func releaseStorage() {
        precondition(isEmpty)
        if let old = unsafe storage { unsafe old.deallocate() }
        unsafe storage = nil
        capacity = 0
        rewind()
    }

    /// Runs `body` on slice `index`, 0 being the first.
    @inlinable
    public func withSlice<Result>(at index: Int, _ body: (borrowing Slice) -> Result) -> Result {
        precondition(index >= 0 && index < count)
        return unsafe body(storage![head &+ index])
    }

    /// Runs `body` on the last slice, which it may extend. The queue must not be empty.
    @inlinable
    mutating func extendLast(by count: Int) {
        unsafe storage![tail &- 1].extend(count)
        bytes &+= count
    }

    /// Where the last slice ends, or nil if there is none.
    @inlinable
    var end: UnsafeMutablePointer<UInt8>? {
        guard tail > head else { return nil }
        return unsafe storage![tail &- 1].start + storage![tail &- 1].count
    }

    @usableFromInline
    mutating func rewind() {
        head = 0
        tail = 0
    }

    @usableFromInline
    mutating func makeRoom() {
        if head > 0, let storage = unsafe storage {
            // SAFETY: moves the initialised slots to the front of the same allocation.
            unsafe storage.moveUpdateOverlapping(from: storage + head, count: tail - head)
            tail &-= head
            head = 0
            return
        }
        let newCapacity = capacity == 0 ? 8 : capacity * 2
        let new = UnsafeMutablePointer<Slice>.allocate(capacity: newCapacity)
        if let old = unsafe storage {
            unsafe new.moveInitialize(from: old, count: tail)
            unsafe old.deallocate()
        }
        unsafe storage = unsafe new
        capacity = newCapacity
    }
}

extension UnsafeMutablePointer where Pointee: ~Copyable {
    /// `moveInitialize` for overlapping memory whose destination slots are not initialised.
    func moveUpdateOverlapping(from source: UnsafeMutablePointer<Pointee>, count: Int) {
        // SAFETY: `moveInitialize` is defined for overlapping ranges; slots below `source` are uninitialised.
        unsafe moveInitialize(from: source, count: count)
    }
}
