import Foundation

/// A proxy whose certificate is of the root that is to go, as people are told of it.
struct OldRootHolder {
    private let role: String
    private let instance: String
    private let issued: Date
    private let ends: Date
    private let lastSeen: Date?
    /// It renews by itself.
    let isConnected: Bool

    /// The holder of `record`. `known`: proxies of which anything is known; `service` tells whose service a role is.
    init(_ record: StoredCertificate, known: [API.Proxy], service: (_ role: String) -> String?) {
        let parts = record.identity.split(separator: "/")
        let name = parts.count == 6 ? "\(parts[3])/\(parts[5])" : record.identity
        let proxy = known.first { $0.id.instance == record.instance && service($0.id.role) == name }
        role = proxy?.id.role ?? "workload:\(name)"
        instance = record.instance
        (issued, ends) = (record.issued, record.notAfter)
        lastSeen = proxy?.lastSeen
        isConnected = proxy.map { $0.sync != .disconnected } ?? false
    }

    /// Who it is, how old its certificate is, and whether it is there.
    func text(at time: Date) -> String {
        let age = "of \(Self.age(issued, time)) ago"
        if isConnected { return "\(role) \(instance) (\(age), connected)" }
        let seen = lastSeen.map { "last seen \(Self.age($0, time)) ago" } ?? "not seen since the control plane started"
        return "\(role) \(instance) (\(age), ends \(ends.formatted(.iso8601)), \(seen))"
    }

    /// What takes its certificate away.
    var command: String {
        let (kind, name) = (role.prefix { $0 != ":" }, role.drop { $0 != ":" }.dropFirst())
        return "martlet revoke --\(kind) \(name) \(instance)"
    }

    private static func age(_ date: Date, _ now: Date) -> String {
        let seconds = max(0, Int(now.timeIntervalSince(date)))
        switch seconds {
        case ..<120: return "\(seconds) s"
        case ..<7200: return "\(seconds / 60) min"
        case ..<172_800: return "\(seconds / 3600) h"
        default: return "\(seconds / 86_400) d"
        }
    }
}
