internal import NIOCore
import Synchronization

/// The open connections of a server: it bounds their number, and cuts those off whose certificate is revoked.
final class ConnectionTable: Sendable {
    private struct State {
        var channels: [ObjectIdentifier: any Channel] = [:]
        var serials: [ObjectIdentifier: String] = [:]
        var refused = 0
    }

    private let limit: Int
    private let state = Mutex(State())

    init(limit: Int) { self.limit = limit }

    var count: Int { state.withLock { $0.channels.count } }
    /// How many were turned away because there were too many.
    var refused: Int { state.withLock { $0.refused } }

    /// Takes a connection until it closes; false if there are too many.
    func open(_ channel: any Channel) -> Bool {
        let id = ObjectIdentifier(channel)
        let isOpen = state.withLock { state in
            guard state.channels.count < limit else {
                state.refused += 1
                return false
            }
            state.channels[id] = channel
            return true
        }
        if isOpen { channel.closeFuture.whenComplete { _ in self.closed(id) } }
        return isOpen
    }

    private func closed(_ id: ObjectIdentifier) {
        state.withLock {
            $0.channels[id] = nil
            $0.serials[id] = nil
        }
    }

    /// Notes whose connection it is.
    func identify(_ id: ObjectIdentifier, _ serial: String) {
        state.withLock { if $0.channels[id] != nil { $0.serials[id] = serial } }
    }

    /// Closes the connections of these certificates.
    func close(_ serials: Set<String>) {
        let channels = state.withLock { state in
            state.serials.filter { serials.contains($0.value) }.compactMap { state.channels[$0.key] }
        }
        for channel in channels { channel.close(promise: nil) }
    }
}

/// Hands on what TLS has decrypted in a buffer of its size. The one that comes is TLS's own, of 32 KiB: while others hold
/// on to it TLS makes another, and each connection has three of them for a few bytes.
final class ExactReads: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let decrypted = unwrapInboundIn(data)
        var exact = context.channel.allocator.buffer(capacity: decrypted.readableBytes)
        exact.writeImmutableBuffer(decrypted)
        context.fireChannelRead(wrapInboundOut(exact))
    }
}

/// Closes a connection that has not opened its TLS, and sent something in it, in time. Goes away with the first bytes.
final class FirstBytesDeadline: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let time: TimeAmount
    private var deadline: Scheduled<Void>?

    init(_ time: TimeAmount) { self.time = time }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: time) { channel.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.fireChannelRead(data)
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }
}
