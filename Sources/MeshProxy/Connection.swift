import MeshCore
import MeshNet

/// Bytes in, bytes out on one socket: what downstream and upstream connections have in common.
///
/// Reading stops while ``wantsInput`` is false, which is the back-pressure: a peer that is not read stops sending.
class Connection: EventSource {
    /// Output beyond which the other side is not read.
    static let highWatermark = 256 * 1024

    final let worker: Worker
    final var output: OutputQueue
    final private var readable = false
    final private var writeBlocked = false
    final private var isDirty = false
    final private var peerClosed = false
    /// Received bytes that nobody took yet.
    final var input: Slice?

    init(fd: Int32, worker: Worker, connecting: Bool = false) {
        self.worker = worker
        output = OutputQueue(pools: worker.pools)
        writeBlocked = connecting
        super.init(fd: fd)
    }

    // MARK: For subclasses

    /// True while more bytes may be read.
    var wantsInput: Bool { true }
    /// New bytes are in ``input``; leaves there what it cannot use yet.
    func received() {}
    /// The peer closed its side, or the connection failed.
    func lost() {}
    /// The socket took everything that was queued.
    func drained() {}

    // MARK: Events

    override func handle(_ events: Events) {
        if events.contains(.writable) && writeBlocked {
            writeBlocked = false
            flush()
        }
        if !events.isDisjoint(with: [.readable, .peerClosed, .hangup, .error]) {
            readable = true
            if !events.isDisjoint(with: [.peerClosed, .hangup, .error]) { peerClosed = true }
            readAll()
        }
    }

    /// Reads until there is no more, or no more is wanted. Safe to call at any time.
    final func readAll() {
        while readable && !isClosed && wantsInput {
            let chunk = WritableChunk(from: worker.pools.medium)
            // SAFETY: the chunk lives until it is frozen below.
            let count = unsafe Socket.receive(fd, into: chunk.buffer())
            if count <= 0 {
                readable = false
                if count != Socket.wouldBlock { lost() }
                return
            }
            // A short read means drained; after a close there is one more thing to read, the end.
            if count < chunk.capacity && !peerClosed { readable = false }
            accept(chunk.freeze(count: count))
        }
    }

    private func accept(_ slice: consuming Slice) {
        if let held = input.take() {
            guard held.count + slice.count <= worker.pools.medium.capacity else {
                input = consume held
                tooMuchInput()
                return
            }
            let joined = WritableChunk(from: worker.pools.medium)
            let count = held.count + slice.count
            // SAFETY: both runs fit, checked above.
            unsafe joined.buffer().copyMemory(from: held.buffer)
            unsafe joined.buffer(from: held.count).copyMemory(from: slice.buffer)
            input = joined.freeze(count: count)
        } else {
            input = consume slice
        }
        received()
        shrinkInput()
    }

    /// What waits for more bytes must not keep a large chunk alive.
    private func shrinkInput() {
        guard let held = input.take() else { return }
        if held.count == 0 { return }
        let isSmall = held.count <= worker.pools.small.capacity
        if isSmall && held.pinnedBytes > worker.pools.small.capacity {
            input = copy(held)
        } else {
            input = consume held
        }
    }

    private func copy(_ slice: borrowing Slice) -> Slice { Slice.copy(of: slice.span, in: worker.pools.small) }

    /// More bytes wait for their end than any message head may have.
    func tooMuchInput() { lost() }

    // MARK: Output

    /// Marks the connection for writing after the current event.
    final func setDirty() {
        guard !isDirty else { return }
        isDirty = true
        worker.dirty.append(self)
    }

    /// Writes what is queued, as far as the socket takes it.
    final func flush() {
        isDirty = false
        guard !isClosed && !writeBlocked else { return }
        switch Socket.write(fd, &output) {
        case .drained:
            output.shrink()
            drained()
        case .blocked: writeBlocked = true
        case .failed: lost()
        }
    }

    /// Closes the socket and frees all buffers.
    final func shut() {
        guard !isClosed else { return }
        input = nil
        output.removeAll()
        worker.loop.close(self)
    }
}
