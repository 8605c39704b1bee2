/// The parsers of untrusted bytes. The raw value names the corpus and the failures of a target.
public enum FuzzTarget: String, CaseIterable, Sendable {
    case http1Request = "http1-request"
    case http1Response = "http1-response"
    case http1Body = "http1-body"
    case http2
    case proxyProtocol = "proxy-protocol"
    case clientHello = "client-hello"
    case yaml
    case snapshot
    case regex
    case policyFields = "policy-fields"
    case meshResource = "mesh-resource"
    case lastGood = "last-good"

    /// Runs the parser on `input` and checks what must hold of its result.
    ///
    /// A trap is a finding too. Deterministic: the same input always does the same.
    public func run(_ input: [UInt8]) throws(Finding) {
        switch self {
        case .http1Request: try HTTP1RequestTarget.run(input)
        case .http1Response: try HTTP1ResponseTarget.run(input)
        case .http1Body: try HTTP1BodyTarget.run(input)
        case .http2: try HTTP2Target.run(input)
        case .proxyProtocol: try ProxyProtocolTarget.run(input)
        case .clientHello: try ClientHelloTarget.run(input)
        case .yaml: try YAMLTarget.run(input)
        case .snapshot: try SnapshotTarget.run(input)
        case .regex: try RegexTarget.run(input)
        case .policyFields: try PolicyFieldsTarget.run(input)
        case .meshResource: try MeshResourceTarget.run(input)
        case .lastGood: try LastGoodTarget.run(input)
        }
    }

    /// What libFuzzer calls: one input, which ends the process if it is a finding.
    @unsafe
    public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
        // SAFETY: libFuzzer lends `count` bytes for the time of the call; they are copied.
        let input = unsafe Array(UnsafeBufferPointer(start: start, count: count))
        do { try run(input) } catch { fatalError("\(rawValue): \(error.description)") }
        return 0
    }
}

/// Something that must hold of a parser does not.
public struct Finding: Error, CustomStringConvertible {
    /// What does not hold.
    public let description: String
}

/// A finding called `what`, unless `holds`.
func require(_ holds: Bool, _ what: @autoclosure () -> String) throws(Finding) {
    if !holds { throw Finding(description: what()) }
}
