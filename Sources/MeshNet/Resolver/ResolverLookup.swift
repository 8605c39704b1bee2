import CAres
import Glibc
import MeshCore

/// One name being resolved: a query per family, so that a server's failure on one is told apart from "there is none" on
/// the other (one query for both, AF_UNSPEC, reports whichever came last).
final class ResolverLookup {
    let name: String
    let port: UInt16
    let done: (ResolverAnswer) -> Void
    private var remaining = 2
    private var ipv4: [SocketAddress] = []
    private var ipv6: [SocketAddress] = []
    private var timeToLive = UInt32.max
    private var failure: (text: String, isNegative: Bool)?

    init(name: String, port: UInt16, done: @escaping (ResolverAnswer) -> Void) {
        self.name = name
        self.port = port
        self.done = done
    }

    /// Takes in the end of one family's query; true if it was the last.
    func take(_ status: Int32, _ result: UnsafePointer<ares_addrinfo>?) -> Bool {
        remaining -= 1
        if status == ARES_SUCCESS, let result = unsafe result {
            unsafe take(result)
        } else {
            fail(status)
        }
        return remaining == 0
    }

    /// The answer after the last query.
    var answer: ResolverAnswer {
        var seen = Set<SocketAddress>()
        let addresses = (ipv4 + ipv6).filter { seen.insert($0).inserted }
        if !addresses.isEmpty { return .addresses(addresses, timeToLive: timeToLive) }
        let failure = failure ?? ("no address", true)
        return .failed("cannot resolve \(name): \(failure.text)", isNegative: failure.isNegative)
    }

    private func take(_ result: UnsafePointer<ares_addrinfo>) {
        // SAFETY: the list is c-ares', whole until the callback that lends it frees it.
        var alias = unsafe result.pointee.cnames
        while let current = unsafe alias {
            unsafe limitTimeToLive(current.pointee.ttl)
            unsafe alias = current.pointee.next
        }
        var node = unsafe result.pointee.nodes
        while let current = unsafe node {
            unsafe limitTimeToLive(current.pointee.ai_ttl)
            unsafe add(current.pointee)
            unsafe node = current.pointee.ai_next
        }
    }

    private func add(_ node: ares_addrinfo_node) {
        guard let from = unsafe node.ai_addr else { return }
        var storage = sockaddr_storage()
        // SAFETY: `ai_addr` has `ai_addrlen` bytes, and no more than the storage are copied.
        let length = unsafe min(Int(node.ai_addrlen), MemoryLayout<sockaddr_storage>.size)
        unsafe withUnsafeMutableBytes(of: &storage) {
            unsafe $0.copyMemory(from: UnsafeRawBufferPointer(start: from, count: length))
        }
        switch SocketAddress(storage, length: socklen_t(length)) {
        case .ipv4(let address, _): ipv4.append(.ipv4(address, port: port))
        case .ipv6(let high, let low, _, let scope): ipv6.append(.ipv6(high, low, port: port, scope: scope))
        case .unix, nil: break
        }
    }

    private func limitTimeToLive(_ seconds: Int32) { timeToLive = min(timeToLive, UInt32(clamping: seconds)) }

    /// Of two failures, the one that leaves hope counts.
    private func fail(_ status: Int32) {
        if let failure, !failure.isNegative { return }
        failure = (unsafe String(cString: ares_strerror(status)), Self.isNegative(status))
    }

    /// True if `status` says that the name has no address of the kind, and never will until somebody changes the zone.
    private static func isNegative(_ status: Int32) -> Bool {
        [ARES_ENOTFOUND, ARES_ENODATA, ARES_ENONAME, ARES_EBADNAME].contains(status)
    }
}
