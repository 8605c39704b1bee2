import MeshCore
import MeshHTTP

/// Response heads. The first byte of the input chooses the method of the request, the rest is the head.
enum HTTP1ResponseTarget {
    static func run(_ input: [UInt8]) throws(Finding) {
        guard let first = input.first else { return }
        let method: Method = [.get, .head, .connect, .other][Int(first % 4)]
        let bytes = Array(input.dropFirst())
        let (head, scratch) = (MessageHead(), MessageHead())
        let limits = HTTP1Limits()
        let result = HTTP1Parser.parseResponse(bytes.span, into: head, limits: limits, requestMethod: method)
        try requireSteadyProgress(bytes, Progress(result)) {
            Progress(HTTP1Parser.parseResponse($0, into: scratch, limits: limits, requestMethod: method))
        }
        if case .failed(let reason) = result {
            let isUpstream = reason == .upstreamMalformedResponse || reason == .upstreamHeadersTooLarge
            try require(isUpstream, "the reason \(reason) blames the client")
        }
        guard case .complete(let length) = result else { return }
        try requireFieldsWellFormed(head)
        try require((100...599).contains(head.status), "status \(head.status)")
        try requireOneReading(Array(bytes[..<length]), head, method)
        try requireSameWhenForwarded(head, method)
    }

    private static func requireOneReading(
        _ bytes: [UInt8], _ head: MessageHead, _ method: Method
    ) throws(Finding) {
        let message = try LenientMessage(bytes)
        let words = message.firstLine.split(maxSplits: 2, omittingEmptySubsequences: false) { $0 == 0x20 }
        try require(words.count >= 2 && words[1].elementsEqual("\(head.status)".utf8), "another status")
        try message.requireSameFields(head)
        let framing = try message.framing()
        let isBodiless =
            head.status < 200 || head.status == 204 || head.status == 304 || method == .head
            || (method == .connect && head.status < 300)
        switch head.bodyLength {
        case .none: try require(isBodiless || framing == .length(0), "a body was overlooked")
        case .known(let count): try require(!isBodiless && framing == .length(count), "another length")
        case .unknown:
            let untilClose = framing == .none && head.flags.contains(.close)
            try require(!isBodiless && (framing == .chunked || untilClose), "a body was made up")
        }
    }

    private static func requireSameWhenForwarded(_ head: MessageHead, _ method: Method) throws(Finding) {
        head.removeHopByHop()
        var options = HTTP1Encoder.ResponseOptions()
        options.chunked = head.bodyLength == .unknown
        let sent = written { HTTP1Encoder.response(head, options, into: &$0) }
        let read = MessageHead()
        var generous = HTTP1Limits()
        (generous.maxHeaderBytes, generous.maxHeaders) = (1 << 20, 200)
        let result = HTTP1Parser.parseResponse(sent.span, into: read, limits: generous, requestMethod: method)
        try require(result == .complete(sent.count), "what was forwarded is \(result)")
        try require(read.status == head.status, "another status")
        try require(read.bodyLength == head.bodyLength, "another body: \(read.bodyLength) and \(head.bodyLength)")
        read.removeHopByHop()
        try require(written { HTTP1Encoder.response(read, options, into: &$0) } == sent, "forwarding twice differs")
    }
}
