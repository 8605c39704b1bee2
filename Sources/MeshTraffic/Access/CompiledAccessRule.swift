import MeshCore
import MeshHTTP
import MeshModel

/// A rule of an access policy, compiled.
struct CompiledAccessRule: Sendable {
    private struct Source: Sendable {
        let identities: BytePatterns
        let namespaces: BytePatterns
        let ranges: [AddressRange]
    }

    private struct Operation: Sendable {
        /// Nil: every host.
        let hosts: HostIndex?
        let methods: BytePatterns
        let paths: BytePatterns
        let fitsPort: Bool

        /// Only of bytes: nothing is asked that a connection of bytes has not.
        var isOfBytes: Bool { hosts == nil && methods.isEmpty && paths.isEmpty }
    }

    private let from: [Source]
    private let to: [Operation]

    /// Compiles `rule` of the policy called `policy`.
    init(
        _ rule: AccessRule, policy: String, port: UInt16, address: (String) -> (high: UInt64, low: UInt64)?
    ) throws(ProxyError) {
        var from: [Source] = []
        for source in rule.from {
            var ranges: [AddressRange] = []
            for text in source.cidrs {
                guard let range = AddressRange(text, address: address) else {
                    throw ProxyError(
                        "access policy \(policy): \"\(text)\" is no address range; write 10.0.0.0/8 or fd00::/8")
                }
                ranges.append(range)
            }
            from.append(
                Source(
                    identities: BytePatterns(source.identities),
                    namespaces: BytePatterns(exact: source.namespaces.map { Array($0.utf8) }), ranges: ranges))
        }
        var to: [Operation] = []
        for operation in rule.to { to.append(try Self.compile(operation, policy: policy, port: port)) }
        self.from = from
        self.to = to
    }

    private static func compile(
        _ operation: AccessOperation, policy: String, port: UInt16
    ) throws(ProxyError) -> Operation {
        var hosts: [(group: Int, hostname: Hostname, value: Int)] = []
        for text in operation.hosts {
            guard !text.isEmpty, let hostname = Hostname(text) else {
                throw ProxyError(
                    "access policy \(policy): \"\(text)\" is no host; write shop.example, *.example or *, without port")
            }
            hosts.append((group: 0, hostname: hostname, value: 0))
        }
        var exact: [[UInt8]] = []
        var prefixes: [[UInt8]] = []
        for path in operation.paths {
            if path.hasSuffix("*") {
                prefixes.append(Array(PathNormalizer.normal(String(path.dropLast()), role: .edge).utf8))
            } else {
                exact.append(Array(PathNormalizer.normal(path, role: .edge).utf8))
            }
        }
        return Operation(
            hosts: hosts.isEmpty ? nil : HostIndex(hosts),
            methods: BytePatterns(exact: operation.methods.map { Array($0.utf8) }),
            paths: BytePatterns(exact: exact, prefixes: prefixes),
            fitsPort: operation.ports.isEmpty || operation.ports.contains(port))
    }

    /// True if the rule describes what `caller` wants; without a request, a connection of bytes.
    func fits(_ caller: borrowing AccessCaller, _ request: MessageHead?, _ path: ByteRange) -> Bool {
        fits(caller) && fits(request, path)
    }

    private func fits(_ caller: borrowing AccessCaller) -> Bool {
        if from.isEmpty { return true }
        var index = 0
        while index < from.count {
            if Self.fits(from[index], caller) { return true }
            index &+= 1
        }
        return false
    }

    private static func fits(_ source: Source, _ caller: borrowing AccessCaller) -> Bool {
        if !source.identities.isEmpty {
            if caller.identity.isEmpty || !source.identities.contains(caller.identity) { return false }
        }
        if !source.namespaces.isEmpty {
            if caller.namespace.isEmpty || !source.namespaces.contains(caller.namespace) { return false }
        }
        if source.ranges.isEmpty { return true }
        var index = 0
        while index < source.ranges.count {
            if source.ranges[index].contains(caller.address) { return true }
            index &+= 1
        }
        return false
    }

    private func fits(_ request: MessageHead?, _ path: ByteRange) -> Bool {
        if to.isEmpty { return true }
        var index = 0
        while index < to.count {
            if Self.fits(to[index], request, path) { return true }
            index &+= 1
        }
        return false
    }

    private static func fits(_ operation: Operation, _ request: MessageHead?, _ path: ByteRange) -> Bool {
        guard operation.fitsPort else { return false }
        guard let request else { return operation.isOfBytes }
        if let hosts = operation.hosts, hosts.best(group: 0, Subject.host(of: request)) < 0 { return false }
        if !operation.methods.isEmpty, !operation.methods.contains(request.span(request.methodRange)) { return false }
        return operation.paths.isEmpty || operation.paths.contains(request.span(path))
    }
}
