import MeshCore
import MeshNet
import MeshTLS
import MeshTelemetry

/// Bytes in, bytes out on one socket, in clear text or TLS; what the bytes mean is the ``Conversation``'s business.
///
/// Edge-triggered: the socket is read until it is drained or the conversation wants no more, and written until it
/// blocks. Idle connections hold no buffer.
final class Connection: EventSource {
    /// Output beyond which the side that feeds it is not read, in bytes.
    static let highWatermark = 256 * 1024

    let worker: Worker
    /// What goes to the peer, before encryption.
    var output: OutputQueue
    /// Who the peer is: the socket's, or what a PROXY header said.
    var peer: SocketAddress

    private(set) var tls: TLSTransport?
    private var knownPeer: PeerIdentity?
    private var owner: Conversation?
    private var conversation: Link<Conversation>?
    private var readable = false
    private var writeBlocked: Bool
    private(set) var isConnecting: Bool
    private var isDirty = false
    private var isReading = false
    private var peerClosed = false
    private var lastReadFilled = false
    /// Where this connection is counted, over all loops.
    var counter: ConnectionCounter?
    /// Downstream: the listener that accepted it, and its counters.
    var source: ListenerSource?
    var listenerSlot = -1
    /// Upstream: where it leads.
    var endpoint: EndpointPool?
    /// Downstream: who the peer is, as hops tell it; found out when first asked for.
    private var knownHopSide: Int32 = -1
    /// It asks an endpoint for its health, and is nobody's but the prober's.
    var isProbe = false
    /// Upstream: it was usable once.
    var isEstablished = false
    /// Neighbours in the worker's list of accepted connections.
    var next: Link<Connection>?
    var previous: Link<Connection>?

    /// A connection on `fd`; with `connecting` it is used as soon as the attempt succeeds.
    init(fd: Int32, peer: SocketAddress, worker: Worker, connecting: Bool = false) {
        self.worker = worker
        self.peer = peer
        output = OutputQueue(pools: worker.pools)
        writeBlocked = connecting
        isConnecting = connecting
        super.init(fd: fd)
    }

    /// Speaks `conversation` from here on. The one before lives until the end of the turn: it may be the caller.
    func speak(_ conversation: Conversation) {
        if let owner { worker.retire(owner) }
        owner = conversation
        self.conversation = Link(conversation)
    }

    /// Speaks TLS from here on, beginning with `first`, which was read already.
    func secure(_ session: TLSSession, _ first: consuming Slice? = nil) {
        let transport = TLSTransport(session, pools: worker.pools)
        // What was queued already, a PROXY header, goes in front in clear text.
        while !output.isEmpty { transport.ciphertext.append(output.takeFirst(upTo: .max)) }
        tls = transport
        if let first { session.feed(first) }
        if !isConnecting { handshake() }
    }

    /// Bytes that wait to be written, encrypted ones included.
    var queuedBytes: Int { output.byteCount &+ (tls?.ciphertext.byteCount ?? 0) }

    // MARK: Events

    override func handle(_ events: Events) {
        if isConnecting && !finishConnecting(events) { return }
        if events.contains(.writable) && writeBlocked {
            writeBlocked = false
            flush()
        }
        if !events.isDisjoint(with: [.readable, .peerClosed, .hangup, .error]) {
            readable = true
            if !events.isDisjoint(with: [.peerClosed, .hangup, .error]) { peerClosed = true }
            readAll()
            // Both directions are gone, and what was left to read is read: nobody takes what is queued.
            if !isClosed && !events.isDisjoint(with: [.hangup, .error]) { conversation? { $0.broke() } }
        }
    }

    private func finishConnecting(_ events: Events) -> Bool {
        guard events.isDisjoint(with: [.error, .hangup]), Socket.error(fd) == 0 else {
            conversation? { $0.broke() }
            return false
        }
        guard events.contains(.writable) else { return false }
        isConnecting = false
        writeBlocked = false
        if tls != nil { handshake() }
        if !isClosed { conversation? { $0.connected() } }
        setDirty()
        return !isClosed
    }

    override func timerFired() { conversation? { $0.timerFired() } }

    // MARK: Reading

    /// Reads until there is no more, or no more is wanted. Safe to call at any time.
    func readAll() {
        guard !isReading else { return }
        isReading = true
        while !isClosed, readable || tls?.hasPlaintext == true, conversation?({ $0.wantsInput }) ?? false {
            if tls == nil { readClear() } else { readSecure() }
        }
        isReading = false
    }

    private func readClear() {
        let chunk = WritableChunk(from: lastReadFilled ? worker.pools.large : worker.pools.medium)
        // SAFETY: the chunk lives until it is frozen below.
        let count = unsafe Socket.receive(fd, into: chunk.buffer())
        guard count > 0 else { return ended(count) }
        noteRead(filled: count == chunk.capacity)
        deliver(chunk.freeze(count: count))
    }

    /// A short read means drained; after a close there is one more thing to read, the end.
    private func noteRead(filled: Bool) {
        lastReadFilled = filled
        if !filled && !peerClosed { readable = false }
    }

    private func deliver(_ slice: consuming Slice) {
        // A closure cannot consume what it captures: the slice travels in a box.
        var box: Slice? = consume slice
        conversation? { $0.received(box.take()!) }
    }

    private func ended(_ result: Int) {
        readable = false
        if result == Socket.wouldBlock { return }
        if let tls { tls.session.feedEnd() }
        if result == 0 { conversation? { $0.peerEnded() } } else { conversation? { $0.broke() } }
    }

    // MARK: Output

    /// Marks the connection for writing after the current event, or turn.
    func setDirty() {
        guard !isDirty, !isClosed else { return }
        isDirty = true
        worker.markDirty(self, gathers: conversation?({ $0.gathersOutput }) ?? false)
    }

    /// Writes what the conversation has, as far as the socket takes it.
    func flush() {
        isDirty = false
        guard !isClosed && !writeBlocked else { return }
        conversation? { $0.produce() }
        if isClosed { return }
        guard tls?.encrypt(&output) ?? true else {
            conversation? { $0.broke() }
            return
        }
        if let tls, output.isEmpty, conversation?({ $0.endsOutput }) ?? false { tls.end() }
        switch tls == nil ? Socket.write(fd, &output) : Socket.write(fd, &tls!.ciphertext) {
        case .blocked: writeBlocked = true
        case .failed: conversation? { $0.broke() }
        case .drained:
            output.shrink()
            tls?.ciphertext.shrink()
            // More than one round of records was queued.
            if let tls, tls.isEstablished, !output.isEmpty { return setDirty() }
            conversation? { $0.drained() }
        }
    }

    /// Hands the output queue to a codec that fills it; ``giveOutput(_:)`` takes it back.
    func takeOutput() -> OutputQueue {
        var taken = OutputQueue(pools: worker.pools)
        swap(&output, &taken)
        return taken
    }

    /// Takes the queue of ``takeOutput()`` back.
    func giveOutput(_ queue: inout OutputQueue) { swap(&output, &queue) }

    /// Goes on with `bytes` that another conversation has read.
    func hand(_ bytes: consuming Slice) { deliver(bytes) }

    /// True if everything that was queued has been taken by the socket.
    var isDrained: Bool { output.isEmpty && (tls?.ciphertext.isEmpty ?? true) }

    /// Goes on reading, and with what the conversation holds: the worker's to call.
    func resume() {
        guard !isClosed else { return }
        conversation? { $0.resumed() }
        readAll()
    }

    // MARK: Ending

    /// The proxy or the listener goes away.
    func drain() { conversation? { $0.drain() } }

    /// True if the listener that accepted it is gone.
    var isOfRetiredListener: Bool { source?.isRetired ?? false }

    /// True if the admin endpoint accepted it.
    var isOfAdmin: Bool { source?.isAdmin ?? false }

    /// Who the peer is, as hops tell it: the service that its identity names, and whether that was verified.
    var hopSide: Int {
        if knownHopSide < 0 {
            let service = peerService
            knownHopSide = Int32(worker.metrics.hopSide(service ?? "", isMTLS: service != nil))
        }
        return Int(knownHopSide)
    }

    /// Who the peer has proven to be in TLS, nil if nobody. Made when first asked for after the handshake.
    var peerIdentity: PeerIdentity? {
        if knownPeer == nil, let tls { knownPeer = tls.identity(worker, mesh: source?.mesh) }
        return knownPeer
    }

    /// The peer's address as text. Made on each call.
    var peerText: [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: SocketAddress.hostLimit) { buffer, count in
            // SAFETY: the buffer has room for the longest address.
            unsafe count = peer.writeHost(into: buffer.baseAddress!)
        }
    }

    /// Closes the socket and frees all buffers.
    func shut() {
        guard !isClosed else { return }
        output.removeAll()
        worker.loop.close(self)
        conversation? { $0.closed() }
        if let owner { worker.retire(owner) }
        if let tls { worker.retire(tls) }
        owner = nil
        conversation = nil
        tls = nil
        worker.closed(self)
        endpoint = nil
        source = nil
    }

    /// Ends our side behind what is queued: close_notify in TLS, and once all is written the socket's.
    func endOutput() {
        guard !isClosed else { return }
        if let tls {
            _ = tls.encrypt(&output)
            tls.end()
            _ = Socket.write(fd, &tls.ciphertext)
        }
        Socket.shutdownWrite(fd)
    }
}

// MARK: - TLS

/// The TLS side of a connection: the session, and what it encrypted and the socket has not taken yet.
final class TLSTransport {
    let session: TLSSession
    var ciphertext: OutputQueue

    init(_ session: TLSSession, pools: BufferPools) {
        self.session = session
        ciphertext = OutputQueue(pools: pools)
    }

    private var known: TLSFacts?
    private var isPeerRead = false
    private var isEnding = false

    /// Who the peer is; read once, nil ever after.
    func identity(_ worker: Worker, mesh: MeshContexts?) -> PeerIdentity? {
        guard session.isEstablished, !isPeerRead else { return nil }
        isPeerRead = true
        return session.peerCertificate.flatMap { PeerIdentity($0, worker.sources, mesh: mesh) }
    }

    /// What the access log says of this connection; made when first asked for.
    func facts() -> TLSFacts? {
        if known == nil && session.isEstablished {
            // A certificate that nobody vouches for names nobody.
            let peer = session.peerCertificate.flatMap { $0.isVerified ? $0.facts : nil }.map {
                $0.spiffeID ?? $0.uris.first ?? $0.dnsNames.first ?? ""
            }
            known = TLSFacts(
                version: session.version == "TLSv1.3" ? .tls13 : .tls12,
                serverName: Array((session.serverName ?? "").utf8), peer: Array((peer ?? "").utf8))
        }
        return known
    }

    var isEstablished: Bool { session.isEstablished }

    /// A read may give bytes without another look at the socket.
    var hasPlaintext: Bool { session.isEstablished && session.pendingPlaintext }

    /// Queues the close_notify, once.
    func end() {
        guard !isEnding else { return }
        isEnding = true
        session.close(output: &ciphertext)
    }

    /// Moves plaintext into records, up to a bound; false if the session is broken.
    func encrypt(_ plaintext: inout OutputQueue) -> Bool {
        guard session.isEstablished, !plaintext.isEmpty else { return true }
        let room = Connection.highWatermark &- ciphertext.byteCount
        return room <= 0 || session.write(queue: &plaintext, upTo: room, output: &ciphertext)
    }
}

extension Connection {
    private func handshake() {
        guard let tls else { return }
        let result = tls.session.handshake(output: &tls.ciphertext)
        if !tls.ciphertext.isEmpty { setDirty() }
        switch result {
        case .wantsInput: return
        case .done:
            conversation? { $0.secured() }
            setDirty()
        case .failed(let failure):
            // The alert, as far as the peer takes it at once.
            _ = Socket.write(fd, &tls.ciphertext)
            conversation? { $0.handshakeFailed(failure) }
        }
    }

    private func readSecure() {
        guard let tls else { return }
        if !tls.hasPlaintext && !feed(tls) { return }
        if !tls.isEstablished {
            handshake()
            if isClosed || !tls.isEstablished { return }
        }
        let chunk = WritableChunk(from: worker.pools.medium)
        // SAFETY: the chunk lives until it is frozen below.
        let count = unsafe tls.session.read(into: chunk.buffer(), output: &tls.ciphertext)
        if !tls.ciphertext.isEmpty { setDirty() }
        if count > 0 { return deliver(chunk.freeze(count: count)) }
        switch count {
        case TLSSession.needsInput: tls.session.shrink()
        case TLSSession.closedByPeer: conversation? { $0.peerEnded() }
        default: conversation? { $0.broke() }
        }
    }

    /// Reads ciphertext; false if there is none.
    private func feed(_ tls: TLSTransport) -> Bool {
        let chunk = WritableChunk(from: worker.pools.medium)
        // SAFETY: the chunk lives until it is frozen below.
        let count = unsafe Socket.receive(fd, into: chunk.buffer())
        guard count > 0 else {
            ended(count)
            return false
        }
        noteRead(filled: count == chunk.capacity)
        tls.session.feed(chunk.freeze(count: count))
        return true
    }
}
