import MeshCore

@testable import MeshTLS

/// A client and a server session joined in memory.
final class Pair {
    let pools = BufferPools()
    let server: TLSSession
    let client: TLSSession
    var toServer: OutputQueue
    var toClient: OutputQueue
    /// Bytes handed over at a time.
    var chunk = 65_536

    /// Two proxies of a mesh; the client expects the server to be one of `identities`.
    init(mesh serverSide: MeshContexts, _ clientSide: MeshContexts, identities: [String], isHTTP2: Bool = true) {
        server = TLSSession(server: serverSide.server)
        client = TLSSession(mesh: clientSide, identities: identities, address: "192.0.2.1:1", isHTTP2: isHTTP2)
        toServer = OutputQueue(pools: pools)
        toClient = OutputQueue(pools: pools)
    }

    init(
        _ serverContext: TLSServerContext, _ clientContext: TLSClientContext, name: String = "shop.example",
        address: String = ""
    ) {
        server = TLSSession(server: serverContext)
        client = TLSSession(client: clientContext, serverName: name, address: address)
        toServer = OutputQueue(pools: pools)
        toClient = OutputQueue(pools: pools)
    }

    /// Carries what is queued to the other side, in order.
    func carry() {
        while !toServer.isEmpty { server.feed(toServer.takeFirst(upTo: chunk)) }
        while !toClient.isEmpty { client.feed(toClient.takeFirst(upTo: chunk)) }
    }

    /// Runs both sides until both are done or one failed; the failures are (of the server, of the client).
    @discardableResult
    func handshake() -> (server: TLSFailure?, client: TLSFailure?) {
        var failures: (server: TLSFailure?, client: TLSFailure?)
        for _ in 0..<20 {
            if case .failed(let failure) = client.handshake(output: &toServer) { failures.client = failure }
            carry()
            if case .failed(let failure) = server.handshake(output: &toClient) { failures.server = failure }
            carry()
            if client.isEstablished && server.isEstablished { break }
            if failures.server != nil && failures.client != nil { break }
        }
        // The tickets, or the alert that says that the server refused the client's certificate.
        if client.isEstablished, client.read(count: 1, output: &toServer).code == TLSSession.broken {
            failures.client = client.failure
        }
        return failures
    }

    /// Sends `bytes` from `sender` and returns what the other side reads, in reads of `room` bytes.
    func transfer(_ bytes: [UInt8], from sender: TLSSession, room: Int) -> [UInt8] {
        var received: [UInt8] = []
        let toPeer = sender === client
        let sent = toPeer ? sender.write(bytes.span, output: &toServer) : sender.write(bytes.span, output: &toClient)
        precondition(sent)
        let receiver = toPeer ? server : client
        carry()
        while received.count < bytes.count {
            let (code, got) =
                toPeer ? receiver.read(count: room, output: &toClient) : receiver.read(count: room, output: &toServer)
            if code <= 0 { break }
            received += got
        }
        return received
    }
}

extension TLSSession {
    /// Reads up to `count` bytes into an array.
    func read(count: Int, output: inout OutputQueue) -> (code: Int, bytes: [UInt8]) {
        var bytes = [UInt8](repeating: 0, count: count)
        // SAFETY: the array lives for the call.
        let code = unsafe bytes.withUnsafeMutableBytes { unsafe self.read(into: $0, output: &output) }
        return (code, Array(bytes[..<max(code, 0)]))
    }
}

extension OutputQueue {
    /// Everything queued, as an array; empties the queue.
    mutating func drain() -> [UInt8] {
        var all: [UInt8] = []
        while !isEmpty {
            let slice = takeFirst(upTo: .max)
            for index in slice.span.indices { all.append(slice.span[index]) }
        }
        return all
    }
}
