import Foundation

/// Bounds how often an address may fail to join. Secrets have 256 bits: this is against noise and load.
struct JoinLimiter: Sendable {
    /// Failures that an address has before it must wait.
    static let burst = 20
    /// How long it takes to be allowed one more.
    static let refill: TimeInterval = 3
    /// Addresses that are remembered; of more, those that failed longest ago are forgotten.
    static let capacity = 4096

    private var failures: [String: (count: Double, last: Date)] = [:]

    /// Seconds that the address must wait; 0: none.
    func wait(_ address: String, now: Date) -> Int {
        guard let entry = failures[address] else { return 0 }
        let count = remaining(entry, now)
        return count < Double(Self.burst) ? 0 : max(1, Int((count - Double(Self.burst) + 1) * Self.refill))
    }

    /// Notes that a join from the address failed.
    mutating func failed(_ address: String, now: Date) {
        if failures.count >= Self.capacity, failures[address] == nil { makeRoom(now) }
        failures[address] = (remaining(failures[address] ?? (0, now), now) + 1, now)
    }

    private func remaining(_ entry: (count: Double, last: Date), _ now: Date) -> Double {
        max(0, entry.count - max(0, now.timeIntervalSince(entry.last)) / Self.refill)
    }

    private mutating func makeRoom(_ now: Date) {
        failures = failures.filter { remaining($0.value, now) > 0 }
        guard failures.count >= Self.capacity else { return }
        for (address, _) in failures.sorted(by: { $0.value.last < $1.value.last }).prefix(Self.capacity / 4) {
            failures[address] = nil
        }
    }

    /// The part of gRPC's text of a peer that says who it is: without the port; of IPv6 the first 64 bits.
    static func address(_ peer: String) -> String {
        if peer.hasPrefix("ipv6:[") {
            let host = peer.dropFirst(6).prefix { $0 != "]" && $0 != "%" }
            guard !host.hasPrefix("::") else { return String(host) }
            return host.split(separator: ":", omittingEmptySubsequences: false).prefix(4).joined(separator: ":")
        }
        guard peer.hasPrefix("ipv4:"), let colon = peer.lastIndex(of: ":") else { return peer }
        return String(peer[..<colon])
    }
}
