import MeshCore
import MeshModel
import MeshTLS

/// What is spoken on a connection: the protocol side, as ``Connection`` is the byte side.
///
/// The connection owns its conversation and calls it; the conversation tells the connection when to write and when to
/// end. A connection may change its conversation once it knows more: from ``Opening`` to HTTP/1.1, HTTP/2 or a tunnel.
class Conversation {
    /// The connection that owns this conversation, and so outlives every use of the link.
    final let connection: Link<Connection>

    init(_ connection: Connection) { self.connection = Link(connection) }

    /// True while more bytes may be read. A peer that is not read stops sending: this is the back-pressure.
    var wantsInput: Bool { true }
    /// True if output gains from being gathered over a turn of the loop: many streams, one write.
    var gathersOutput: Bool { false }
    /// True once nothing follows what ``produce()`` gives: in TLS the close_notify leaves with the last bytes.
    var endsOutput: Bool { false }
    /// Bytes came in.
    func received(_ slice: consuming Slice) {}
    /// The peer will send nothing more.
    func peerEnded() {}
    /// The connection broke; nothing can be sent or received any more. Must end in `shut()`.
    func broke() {}
    /// Output may be written now: put it into the connection's queue.
    func produce() {}
    /// The socket took everything that was queued.
    func drained() {}
    /// Called after ``Worker/resume(_:)``, once the current event is over: go on with what is held.
    func resumed() {}
    /// The connection's timer is due.
    func timerFired() {}
    /// An outgoing connection is established, as far as TCP goes.
    func connected() {}
    /// The TLS handshake is done.
    func secured() {}
    /// The TLS handshake failed. Must end in `shut()`.
    func handshakeFailed(_ failure: TLSFailure) { connection { $0.shut() } }
    /// The proxy or the listener goes away: end when idle, and soon.
    func drain() {}
    /// The connection is closed, whoever wanted it; called once.
    func closed() {}
}

extension Conversation {
    /// What `input` holds and `slice` behind it; nil if that is more than any head may have.
    final func join(_ slice: consuming Slice, _ input: inout InputBuffer) -> Slice? {
        if input.isEmpty { return slice }
        var box: Slice? = consume slice
        var joined: Slice?
        connection { joined = input.join(box.take()!, in: $0.worker.pools) }
        return joined
    }

    /// Keeps `bytes` in `input` until more come.
    final func keep(_ bytes: consuming Slice, _ input: inout InputBuffer) {
        if bytes.count == 0 { return }
        var box: Slice? = consume bytes
        connection { input.keep(box.take()!, in: $0.worker.pools) }
    }

    /// Calls ``timerFired()`` after `duration`.
    final func arm(_ duration: Duration) {
        connection { connection in
            let loop = connection.worker.loop
            loop.schedule(connection, at: loop.now.advanced(byNanoseconds: duration.nanoseconds))
        }
    }

    /// Forgets the timer. One store, as a rule.
    final func disarm() { connection { $0.worker.loop.schedule($0, at: .never) } }
}
