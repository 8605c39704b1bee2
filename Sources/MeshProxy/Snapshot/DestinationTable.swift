import MeshCore
import MeshModel
import MeshNet

/// Where redirected connections lead, by the address that their clients meant.
struct DestinationTable: Sendable {
    /// What nobody here knows goes on to where it was meant to go; false: it is refused.
    let passesUnknown: Bool
    private var byAddress: [SocketAddress: Int] = [:]
    private var byPort: [UInt16: Int] = [:]

    /// The entries of a listener; of two for the same the first counts.
    init(_ wanted: OriginalDestination, of listener: Listener) throws(ProxyError) {
        passesUnknown = wanted.passesUnknown
        var sections: [String: Int] = [:]
        for (index, section) in listener.sections.enumerated() { sections[section.name] = index }
        for entry in wanted.entries {
            guard let section = sections[entry.section] else {
                throw ProxyError("listener \(listener.address): no section '\(entry.section)' for port \(entry.port)")
            }
            guard let text = entry.address else {
                if byPort[entry.port] == nil { byPort[entry.port] = section }
                continue
            }
            guard let address = SocketAddress(ip: text, port: entry.port) else {
                throw ProxyError("listener \(listener.address): destination '\(text)' is not an IP address")
            }
            if byAddress[address] == nil { byAddress[address] = section }
        }
    }

    /// The section for connections that meant `address`; nil: nobody knows it. Asked once per connection.
    func section(for address: SocketAddress) -> Int? { byAddress[address] ?? byPort[address.port] }
}
