import MeshNet

/// Ports of 127.0.0.1 that nobody listens on, each given once. They lie below those that the system gives to clients
/// (32768 and more on Linux), so that no connection takes one before its server is up.
final class FreePorts {
    private var candidate: UInt16 = 18_000

    /// Another one.
    func next() throws -> UInt16 {
        while candidate < 32_000 {
            candidate += 1
            if isFree(candidate) { return candidate }
        }
        throw Failure(message: "no port from 18001 to 32000 is free on 127.0.0.1")
    }

    /// Whether nobody listens on `port`.
    func isFree(_ port: UInt16) -> Bool {
        guard let address = SocketAddress(ip: "127.0.0.1", port: port) else { return false }
        return (try? Socket.checkIsFree(address)) != nil
    }
}
