import MeshCore
import MeshNet

/// PROXY protocol headers, both versions.
enum ProxyProtocolTarget {
    static func run(_ input: [UInt8]) throws(Finding) {
        let whole = ProxyProtocol.parse(input.span)
        try requireSteadyProgress(input, progress(whole)) { progress(ProxyProtocol.parse($0)) }
        if case .incomplete = whole {
            try require(input.count < ProxyProtocol.lengthLimit, "the header never ends")
        }
        guard case .parsed(let length, let source, let destination) = whole else { return }
        try require(length <= ProxyProtocol.lengthLimit, "the header is too long")
        try require((source == nil) == (destination == nil), "one address without the other")
        let cut = ProxyProtocol.parse(input.span.extracting(first: length))
        try require(cut == whole, "what follows the header changes it")
        try requireSameWhenWritten(.v1, source, destination)
        try requireSameWhenWritten(.v2, source, destination)
    }

    private static func progress(_ header: ProxyProtocol.Header) -> Progress {
        switch header {
        case .incomplete: .incomplete
        case .invalid: .failed
        case .parsed(let length, _, _): .complete(length)
        }
    }

    private static func requireSameWhenWritten(
        _ version: ProxyProtocol.Version, _ source: SocketAddress?, _ destination: SocketAddress?
    ) throws(Finding) {
        let bytes = ProxyProtocol.header(version, source: source, destination: destination)
        guard case .parsed(let length, let from, let to) = ProxyProtocol.parse(bytes.span) else {
            throw Finding(description: "what was written is no header")
        }
        try require(length == bytes.count, "what was written has another length")
        for case (.unix?, _) in [(source, destination), (destination, source)] {
            // There is no way to say that one of two addresses is a path.
            try require(from == nil && to == nil, "a unix socket became another address")
            return
        }
        try require(from == source && to == destination, "what was written names others")
    }
}
